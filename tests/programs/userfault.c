/* Makes the system call mkdir with a path in memory that nobody fills: reading it waits for as long as this program lives
 * (userfaultfd(2)). Prints the call's error number; ends with 77 where the kernel gives no such memory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	int fault = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = {.api = UFFD_API};
	if (fault < 0 || ioctl(fault, UFFDIO_API, &api))
		return 77;
	void *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register range = {
		.range = {(unsigned long)page, 4096},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	if (ioctl(fault, UFFDIO_REGISTER, &range))
		return 77;
	for (int times = 0; times < 5; times++)
		printf("%d\n", syscall(SYS_mkdir, page, 0700) ? errno : 0);
	return 0;
}
