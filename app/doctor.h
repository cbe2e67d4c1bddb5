/* `httpshard doctor`: the program's look at the machine. */
#pragma once

/* Print what hs_doctor_run finds; argv[0] is "doctor". Returns the exit status: 0 where a server
 * starts, with or without warnings, 1 where it would not, 2 for a bad command line. */
int doctor_main(int argc, char **argv);
