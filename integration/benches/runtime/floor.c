/* The floor: the least that a program has to do for the same container. It makes the five namespaces
 * and the mounts of the bundle, goes to the root and executes the program. No cgroup, no device, no
 * mask, no state: no runtime can be as fast, and the distance to it is what a runtime costs. */
#define _GNU_SOURCE
#include <err.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void on(const char *type, const char *place, unsigned long flags, const char *data) {
    if (mkdir(place, 0755), mount(type, place, type, flags, data)) err(1, "mount %s", place);
}

int main(int argc, char **argv) {
    if (argc < 3) errx(1, "usage: floor ROOTFS PROGRAM [ARGUMENT...]");
    struct clone_args args = { .exit_signal = SIGCHLD,
        .flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET };
    pid_t child = syscall(SYS_clone3, &args, sizeof args);
    if (child < 0) err(1, "clone3");
    if (child > 0) {
        int status;
        if (waitpid(child, &status, 0) < 0) err(1, "waitpid");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
    const unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount(0, "/", 0, MS_REC | MS_SLAVE, 0)) err(1, "separate the mounts");
    if (mount(argv[1], argv[1], 0, MS_BIND | MS_REC, 0) || chdir(argv[1])) err(1, "%s", argv[1]);
    on("proc", "proc", 0, 0);
    on("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    on("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    on("tmpfs", "dev/shm", safe, "mode=1777,size=65536k");
    on("mqueue", "dev/mqueue", safe, 0);
    on("sysfs", "sys", safe | MS_RDONLY, 0);
    if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH)) err(1, "pivot_root");
    if (sethostname("floor", strlen("floor")) || chdir("/")) err(1, "settle");
    execv(argv[2], argv + 2);
    err(1, "%s", argv[2]);
}
