/* One call an argument: makes it and prints its name and what came of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *name, long result)
{
	if (result < 0)
		printf("%s: %s\n", name, strerrorname_np(errno));
	else
		printf("%s: ok\n", name);
	fflush(stdout);
}

/* In a child, so that a filter that kills is seen and reported. */
static void apart(const char *name, long (*call)(void))
{
	pid_t pid = fork();
	int status;
	if (pid == 0) {
		say(name, call());
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("%s: SIG%s\n", name, sigabbrev_np(WTERMSIG(status)));
	fflush(stdout);
}

static long unshare_user(void) { return syscall(SYS_unshare, CLONE_NEWUSER); }
static long clone_user(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	return pid;
}
static long clone_user_high(void)
{
	long pid = syscall(SYS_clone, (1UL << 32) | CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	return pid;
}
static long clone3_user(void)
{
	struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	long pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		_exit(0);
	return pid;
}
static long socket_alg(void) { return syscall(SYS_socket, 38L, 5L, 0L); }
static long socket_alg_high(void) { return syscall(SYS_socket, 38L | (1L << 32), 5L, 0L); }
static long socket_unix(void) { return syscall(SYS_socket, 1L, 1L, 0L); }
static long int80_getpid(void)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	if (result < 0) {
		errno = -result;
		return -1;
	}
	return result;
}
static long x32_getpid(void) { return syscall(0x40000000L | SYS_getpid); }
static long write_exe(void) { return open("/proc/self/exe", O_WRONLY); }
static long write_parent_exe(void) { return open("/proc/1/exe", O_WRONLY); }
static long getppid_filtered(void) { return syscall(SYS_getppid); }
static long make_disk(void) { return syscall(SYS_mknod, "/disk", 0060600L, 0x800L); }
static long open_disk(void) { return open("/disk", O_RDONLY); }

/* The abstract socket that the environment names. */
static long connect_abstract(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *name = getenv("ABSTRACT");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(address.sun_path + 1, name);
	return connect(fd, (struct sockaddr *)&address,
		       offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static void numbers(const char *name)
{
	if (!strcmp(name, "scheduler")) {
		struct { unsigned size, policy; unsigned long flags; int nice; unsigned priority;
			 unsigned long runtime, deadline, period; unsigned min, max; } a = {0};
		a.size = sizeof a;
		if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) < 0)
			say(name, -1);
		else
			printf("scheduler: policy=%u flags=%lu nice=%d priority=%u runtime=%lu deadline=%lu period=%lu\n",
			       a.policy, a.flags, a.nice, a.priority, a.runtime, a.deadline, a.period);
	} else if (!strcmp(name, "ioprio")) {
		long p = syscall(SYS_ioprio_get, 1, 0);
		printf("ioprio: class=%ld priority=%ld\n", p >> 13, p & 0x1fff);
	} else if (!strcmp(name, "mempolicy")) {
		int mode = -1;
		unsigned long nodes[16] = {0};
		long result = syscall(SYS_get_mempolicy, &mode, nodes, 1024UL, 0, 0);
		if (result < 0)
			say(name, -1);
		else
			printf("mempolicy: mode=%d nodes=%lu\n", mode, nodes[0]);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const struct { const char *name; long (*call)(void); } calls[] = {
		{"unshare-user", unshare_user}, {"clone-user", clone_user},
		{"clone-user-high", clone_user_high}, {"clone3-user", clone3_user},
		{"socket-alg", socket_alg}, {"socket-alg-high", socket_alg_high},
		{"socket-unix", socket_unix}, {"int80", int80_getpid}, {"x32", x32_getpid},
		{"write-exe", write_exe}, {"write-init-exe", write_parent_exe},
		{"getppid", getppid_filtered}, {"make-disk", make_disk}, {"open-disk", open_disk},
		{"connect-abstract", connect_abstract},
	};
	for (int i = 1; i < argc; i++) {
		for (unsigned j = 0; j < sizeof calls / sizeof *calls; j++)
			if (!strcmp(argv[i], calls[j].name))
				apart(calls[j].name, calls[j].call);
		numbers(argv[i]);
	}
	return 0;
}
