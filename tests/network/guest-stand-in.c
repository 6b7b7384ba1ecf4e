/*
 * Stands in for a VMM and for a guest's raw sockets, so that tests reach a slot by its real TAP.
 *
 *   guest-stand-in wire TAP_NETNS TAP UID GUEST_NETNS INTERFACE
 *     Opens TAP as user UID, as a VMM does, makes INTERFACE in GUEST_NETNS and carries the frames
 *     between the two until it is killed. Prints "ready" once.
 *   guest-stand-in ping ADDRESS MILLISECONDS
 *     One ICMP echo; status 0 when it is answered, 1 when not.
 *   guest-stand-in frame INTERFACE HEX
 *     Sends one Ethernet frame as it is.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

static void enter(const char *netns) {
  int fd = open(netns, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) err(2, "cannot enter %s", netns);
  close(fd);
}

static int open_tap(const char *name, uid_t uid) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0) err(2, "cannot open /dev/net/tun");
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (seteuid(uid) != 0) err(2, "cannot become user %d", uid);
  if (ioctl(fd, TUNSETIFF, &request) != 0) err(2, "cannot attach to %s as user %d", name, uid);
  if (seteuid(0) != 0) err(2, "cannot become root again");
  return fd;
}

static void carry(int from, int to) {
  char frame[65536];
  ssize_t size = read(from, frame, sizeof frame);
  if (size < 0) err(2, "cannot read a frame");
  (void)!write(to, frame, size); /* a full queue drops frames, as a cable does */
}

static int wire(char **argument) {
  enter(argument[0]);
  int tap = open_tap(argument[1], atoi(argument[2]));
  enter(argument[3]);
  int guest = open_tap(argument[4], 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the changes of user, which clear it */
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct pollfd ends[] = {{.fd = tap, .events = POLLIN}, {.fd = guest, .events = POLLIN}};
    if (poll(ends, 2, -1) < 0) err(2, "poll");
    if (ends[0].revents) carry(tap, guest);
    if (ends[1].revents) carry(guest, tap);
  }
}

static unsigned short checksum(const unsigned short *word, int bytes) {
  unsigned sum = 0;
  for (; bytes > 1; bytes -= 2) sum += *word++;
  sum = (sum >> 16) + (sum & 0xffff);
  return ~(sum + (sum >> 16));
}

static int ping(char **argument) {
  struct sockaddr_in to = {.sin_family = AF_INET}, from;
  struct icmphdr echo = {.type = ICMP_ECHO, .un.echo.id = htons(getpid() & 0xffff)};
  int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (fd < 0 || inet_aton(argument[0], &to.sin_addr) == 0) err(2, "cannot ping %s", argument[0]);
  echo.checksum = checksum((unsigned short *)&echo, sizeof echo);
  if (sendto(fd, &echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to) < 0) return 1;
  struct pollfd answer = {.fd = fd, .events = POLLIN};
  while (poll(&answer, 1, atoi(argument[1])) > 0) {
    unsigned char packet[1500];
    socklen_t length = sizeof from;
    ssize_t size = recvfrom(fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &length);
    int header = (packet[0] & 15) * 4;
    struct icmphdr *reply = (struct icmphdr *)(packet + header);
    if (size < header + (int)sizeof *reply || reply->un.echo.id != echo.un.echo.id) continue;
    if (reply->type == ICMP_ECHOREPLY && from.sin_addr.s_addr == to.sin_addr.s_addr) return 0;
  }
  return 1;
}

static int frame(char **argument) {
  unsigned char bytes[1514];
  size_t size = strlen(argument[1]) / 2;
  for (size_t i = 0; i < size && i < sizeof bytes; i++) sscanf(argument[1] + 2 * i, "%2hhx", &bytes[i]);
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(argument[0]), .sll_halen = 6};
  memcpy(to.sll_addr, bytes, 6);
  if (fd < 0 || sendto(fd, bytes, size, 0, (struct sockaddr *)&to, sizeof to) < 0) err(2, "cannot send a frame");
  return 0;
}

int main(int count, char **argument) {
  if (count == 7 && strcmp(argument[1], "wire") == 0) return wire(argument + 2);
  if (count == 4 && strcmp(argument[1], "ping") == 0) return ping(argument + 2);
  if (count == 4 && strcmp(argument[1], "frame") == 0) return frame(argument + 2);
  errx(2, "say wire, ping or frame");
}
