/* The switch for x86-64: see switch.h. The System V ABI, section 3.2: rbx, rbp, r12 to r15 and the
 * control words of SSE and x87 belong to the caller.
 *
 * What lies on a stack that was left, from the stack pointer up:
 *      0 MXCSR    4 x87 control word    8 r15   16 r14   24 r13   32 r12   40 rbx   48 rbp
 *     56 where to go on
 * There is no note of IBT or shadow stacks here, so the linker marks no binary with this in it as
 * fit for them, and the kernel leaves them off. */
#if defined(__x86_64__)
    .text
    .globl switch_stack
    .hidden switch_stack
    .type switch_stack, @function
    .p2align 5
switch_stack:
    .cfi_startproc
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbp, 0
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbx, 0
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r12, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r13, 0
    pushq %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r14, 0
    pushq %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset r15, 0
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr 0(%rsp)
    fnstcw 4(%rsp)
    movl 0(%rsp), %eax
    movzwl 4(%rsp), %edx
    movq %rsp, (%rdi)
    /* Both stacks have the same shape here, so what was said of one holds for the other. */
    movq %rsi, %rsp
    /* Loading MXCSR with another value stalls the processor, and the flags in its low bits (what
     * was inexact, and so on) differ all the time. They belong to nobody: only a difference in the
     * control bits counts. */
    xorl 0(%rsp), %eax
    andl $0xffc0, %eax
    xorw 4(%rsp), %dx
    orl %edx, %eax
    jnz .Lload_control
.Lcontrol_loaded:
    .cfi_remember_state
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore r15
    popq %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore r14
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore r13
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore r12
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbx
    popq %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbp
    /* Not a return: the processor predicts returns by the calls it saw, and would be wrong each
     * time. */
    popq %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register rip, rcx
    jmp *%rcx
    .cfi_restore_state
.Lload_control:
    ldmxcsr 0(%rsp)
    fldcw 4(%rsp)
    jmp .Lcontrol_loaded
    .cfi_endproc
    .size switch_stack, . - switch_stack

    .globl switch_frame
    .hidden switch_frame
    .type switch_frame, @function
    .p2align 4
switch_frame:
    .cfi_startproc
    andq $-16, %rdi
    leaq -80(%rdi), %rax
    stmxcsr 0(%rax)
    fnstcw 4(%rax)
    xorl %ecx, %ecx
    movq %rcx, 8(%rax)
    movq %rcx, 16(%rax)
    movq %rdx, 24(%rax)
    movq %rsi, 32(%rax)
    movq %rcx, 40(%rax)
    movq %rcx, 48(%rax)
    leaq switch_entry(%rip), %rdx
    movq %rdx, 56(%rax)
    /* For those who walk frame pointers: nothing lies above. */
    movq %rcx, 64(%rax)
    movq %rcx, 72(%rax)
    ret
    .cfi_endproc
    .size switch_frame, . - switch_frame

    .type switch_entry, @function
    .p2align 4
switch_entry:
    .cfi_startproc
    .cfi_undefined rip
    .cfi_undefined rbp
    movq %r13, %rdi
    call *%r12
    ud2
    .cfi_endproc
    .size switch_entry, . - switch_entry
#endif

    .section .note.GNU-stack, "", %progbits
