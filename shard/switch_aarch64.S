/* The switch for aarch64: see switch.h. AAPCS64, section 6.1: x19 to x28, the frame pointer x29,
 * the low halves of v8 to v15 and the control bits of FPCR belong to the caller; x30 is where to go
 * on.
 *
 * What lies on a stack that was left, from the stack pointer up:
 *      0 x19 to x28    80 x29, x30    96 d8 to d15    160 FPCR */
#if defined(__aarch64__)
    .text
    .globl switch_stack
    .hidden switch_stack
    .type switch_stack, %function
    .p2align 5
switch_stack:
    .cfi_startproc
    sub sp, sp, #176
    .cfi_def_cfa_offset 176
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    .cfi_rel_offset x19, 0
    .cfi_rel_offset x20, 8
    .cfi_rel_offset x21, 16
    .cfi_rel_offset x22, 24
    .cfi_rel_offset x23, 32
    .cfi_rel_offset x24, 40
    .cfi_rel_offset x25, 48
    .cfi_rel_offset x26, 56
    .cfi_rel_offset x27, 64
    .cfi_rel_offset x28, 72
    .cfi_rel_offset x29, 80
    .cfi_rel_offset x30, 88
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    .cfi_rel_offset d8, 96
    .cfi_rel_offset d9, 104
    .cfi_rel_offset d10, 112
    .cfi_rel_offset d11, 120
    .cfi_rel_offset d12, 128
    .cfi_rel_offset d13, 136
    .cfi_rel_offset d14, 144
    .cfi_rel_offset d15, 152
    mrs x9, fpcr
    str x9, [sp, #160]
    mov x10, sp
    str x10, [x0]
    /* Both stacks have the same shape here, so what was said of one holds for the other. */
    mov sp, x1
    ldr x10, [sp, #160]
    /* A write to FPCR is slow, and seldom needed. */
    cmp x9, x10
    b.eq 1f
    msr fpcr, x10
1:
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore x29
    .cfi_restore x30
    .cfi_restore d8
    .cfi_restore d9
    .cfi_restore d10
    .cfi_restore d11
    .cfi_restore d12
    .cfi_restore d13
    .cfi_restore d14
    .cfi_restore d15
    add sp, sp, #176
    .cfi_def_cfa_offset 0
    ret
    .cfi_endproc
    .size switch_stack, . - switch_stack

    .globl switch_frame
    .hidden switch_frame
    .type switch_frame, %function
    .p2align 4
switch_frame:
    .cfi_startproc
    and x0, x0, #-16
    sub x0, x0, #192
    stp x1, x2, [x0, #0]
    stp xzr, xzr, [x0, #16]
    stp xzr, xzr, [x0, #32]
    stp xzr, xzr, [x0, #48]
    stp xzr, xzr, [x0, #64]
    adr x9, switch_entry
    stp xzr, x9, [x0, #80]
    stp xzr, xzr, [x0, #96]
    stp xzr, xzr, [x0, #112]
    stp xzr, xzr, [x0, #128]
    stp xzr, xzr, [x0, #144]
    mrs x9, fpcr
    stp x9, xzr, [x0, #160]
    /* For those who walk frame pointers: nothing lies above. */
    stp xzr, xzr, [x0, #176]
    ret
    .cfi_endproc
    .size switch_frame, . - switch_frame

    .type switch_entry, %function
    .p2align 4
switch_entry:
    .cfi_startproc
    .cfi_undefined x30
    .cfi_undefined x29
    mov x0, x20
    blr x19
    brk #1
    .cfi_endproc
    .size switch_entry, . - switch_entry
#endif

    .section .note.GNU-stack, "", %progbits
