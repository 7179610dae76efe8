/* Runs a program and, at one system call of it or of a process that it has cloned, has the call fail or the caller killed.
   usage: fault LOG count PROGRAM ARGUMENT...
          fault LOG fail PROCESS CALL ERRNO PROGRAM ARGUMENT...
          fault LOG kill PROCESS CALL PROGRAM ARGUMENT...
   Processes are numbered in the order of their beginning, calls in each by themselves, both from 0. The log gets a line
   `PROCESS CALL NUMBER` for each call, or for the one that was hit. A clone that executes a program, and what is left
   when the first process has ended, is let go. The exit status is the program's, 128 and the signal if it was
   killed. */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64, TRACE_STOP = 128 };

static struct process {
	pid_t pid;
	int number, calls, fails;
} processes[MOST];
static int begun;

static struct process *of(pid_t pid)
{
	struct process *free = 0;
	for (struct process *one = processes; one < processes + MOST; one++) {
		if (one->pid == pid)
			return one;
		if (!one->pid && !free)
			free = one;
	}
	if (!free)
		_exit(125);
	*free = (struct process){.pid = pid, .number = begun++};
	return free;
}

/* The kernel looks at the number again after the stop: with none it does nothing, and what stands for its result stays. */
static void skip_call(pid_t pid, int error)
{
#if defined(__x86_64__)
	struct user_regs_struct registers;
	struct iovec all = {&registers, sizeof registers};
	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &all))
		return;
	registers.orig_rax = -1;
	registers.rax = -error;
	ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &all);
#elif defined(__aarch64__)
	struct user_regs_struct registers;
	struct iovec all = {&registers, sizeof registers};
	int none = -1;
	struct iovec number = {&none, sizeof none};
	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &all))
		return;
	registers.regs[0] = -error;
	ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &all);
	ptrace(PTRACE_SETREGSET, pid, (void *)NT_ARM_SYSTEM_CALL, &number);
#endif
}

/* Lets every process go that is left. */
static void detach_all(void)
{
	for (struct process *one = processes; one < processes + MOST; one++) {
		int status;
		if (!one->pid || ptrace(PTRACE_INTERRUPT, one->pid, 0, 0))
			continue;
		if (waitpid(one->pid, &status, __WALL) == one->pid && WIFSTOPPED(status))
			ptrace(PTRACE_DETACH, one->pid, 0, 0);
	}
}

int main(int count, char **words)
{
	if (count < 4)
		return 125;
	FILE *log = fopen(words[1], "we");
	int counts = !strcmp(words[2], "count"), kills = !strcmp(words[2], "kill");
	int process = counts ? -1 : atoi(words[3]), call = counts ? -1 : atoi(words[4]);
	int error = counts || kills ? 0 : atoi(words[5]);
	char **program = words + (counts ? 3 : kills ? 5 : 6);
	int ready[2];
	if (!log || pipe(ready))
		return 125;

	pid_t first = fork();
	if (!first) {
		char byte;
		close(ready[1]);
		if (read(ready[0], &byte, 1) != 1)
			_exit(125);
		close(ready[0]);
		execv(program[0], program);
		_exit(125);
	}
	close(ready[0]);
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
		       PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	if (first < 0 || ptrace(PTRACE_SEIZE, first, 0, options) || write(ready[1], "", 1) != 1)
		return 125;
	close(ready[1]);

	int executed = 0, status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (pid < 0)
			continue;
		struct process *one = of(pid);
		if (!WIFSTOPPED(status)) {
			one->pid = 0;
			if (pid != first)
				continue;
			detach_all();
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		int signal = WSTOPSIG(status), event = status >> 16;
		if (event == PTRACE_EVENT_EXEC) {
			if (pid == first)
				executed = 1;
			else {
				ptrace(PTRACE_DETACH, pid, 0, 0);
				one->pid = 0;
				continue;
			}
		} else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
			ptrace(PTRACE_LISTEN, pid, 0, 0);
			continue;
		} else if (signal == (SIGTRAP | TRACE_STOP) && executed) {
			struct __ptrace_syscall_info info;
			long size = ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
			if (size > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY) {
				int is_it = one->number == process && one->calls == call;
				if (counts || is_it) {
					fprintf(log, "%d %d %d\n", one->number, one->calls, (int)info.entry.nr);
					fflush(log);
				}
				one->calls++;
				if (is_it && kills)
					kill(pid, SIGKILL);
				else if (is_it && info.entry.nr != SYS_close) {
					/* A close that was skipped would leave open what the kernel never does. */
					skip_call(pid, error);
					one->fails = 1;
				}
			} else if (size > 0 && one->fails) {
				one->fails = 0;
				skip_call(pid, error);
			}
		}
		int is_signal = !event && signal != (SIGTRAP | TRACE_STOP);
		ptrace(PTRACE_SYSCALL, pid, 0, is_signal ? signal : 0);
	}
	return 125;
}
