/*
 * Attaches the kernel's NBD client, and keeps it attached: what nbd-client of Debian 12 lacks.
 *
 *   nbd_keep ADDRESS PORT EXPORT INDEX TIMEOUT_SECONDS DEAD_CONN_SECONDS
 *
 * Connects by netlink (NBD_CMD_CONNECT), and goes on in the background once /dev/nbdINDEX is there. Whenever the kernel says
 * that the connection is dead (NBD_CMD_LINK_DEAD), it connects again, however often that takes, and hands the new socket
 * over (NBD_CMD_RECONFIGURE). The kernel keeps requests for DEAD_CONN_SECONDS meanwhile; those that were under way it sends
 * again, TIMEOUT_SECONDS after it sent them first.
 *
 * Exit status of the foreground: 0 attached, 1 not.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OPT_GO = 7, REP_ACK = 1, REP_INFO = 3, INFO_EXPORT = 0, RETRY_US = 100000, ROOM = 8192 };

static struct sockaddr_in server;
static const char *name;
static uint64_t size;
static uint16_t flags;

static int take(int fd, void *to, size_t length)
{
	/* Asked for nothing, recv would wait for something. */
	return length == 0 || recv(fd, to, length, MSG_WAITALL) == (ssize_t)length ? 0 : -1;
}

/* Through the handshake; -1 if the server is not there, or goes on the way. */
static int negotiate(int fd)
{
	char greeting[18], data[ROOM];
	uint32_t length = strlen(name);
	struct __attribute__((packed)) { uint32_t client; uint64_t magic; uint32_t option, bytes, name; } ask = {
		htobe32(3), htobe64(0x49484156454F5054), htobe32(OPT_GO), htobe32(length + 6), htobe32(length),
	};
	struct __attribute__((packed)) { uint64_t magic; uint32_t option, type, bytes; } reply;
	uint16_t infos = 0;

	if (take(fd, greeting, sizeof greeting) < 0 || send(fd, &ask, sizeof ask, 0) < 0 ||
	    send(fd, name, length, 0) < 0 || send(fd, &infos, sizeof infos, 0) < 0)
		return -1;
	for (;;) {
		if (take(fd, &reply, sizeof reply) < 0)
			return -1;
		uint32_t type = be32toh(reply.type), bytes = be32toh(reply.bytes);
		if (bytes > sizeof data || take(fd, data, bytes) < 0)
			return -1;
		if (type == REP_ACK)
			return 0;
		if (type != REP_INFO)
			return -1;
		if (bytes == 12 && data[0] == 0 && data[1] == INFO_EXPORT) {
			memcpy(&size, data + 2, 8);
			memcpy(&flags, data + 10, 2);
			size = be64toh(size);
			flags = be16toh(flags);
		}
	}
}

static int connected(void)
{
	for (;; usleep(RETRY_US)) {
		int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (connect(fd, (struct sockaddr *)&server, sizeof server) == 0 && negotiate(fd) == 0)
			return fd;
		close(fd);
	}
}

/* A generic netlink message that is put together at `end`. */
static struct { struct nlmsghdr head; struct genlmsghdr genl; char rest[ROOM]; } message;
static uint16_t family;
static uint32_t group;

static void begin(uint16_t type, uint8_t command)
{
	memset(&message, 0, sizeof message);
	message.head = (struct nlmsghdr){ .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN), .nlmsg_type = type,
					  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK };
	message.genl = (struct genlmsghdr){ .cmd = command, .version = 1 };
}

static struct nlattr *put(uint16_t type, const void *value, uint16_t length)
{
	struct nlattr *attribute = (void *)((char *)&message + NLMSG_ALIGN(message.head.nlmsg_len));

	*attribute = (struct nlattr){ .nla_len = NLA_HDRLEN + length, .nla_type = type };
	if (length > 0)
		memcpy(attribute + 1, value, length);
	message.head.nlmsg_len = NLMSG_ALIGN(message.head.nlmsg_len) + NLA_ALIGN(attribute->nla_len);
	return attribute;
}

static void put32(uint16_t type, uint32_t value) { put(type, &value, sizeof value); }
static void put64(uint16_t type, uint64_t value) { put(type, &value, sizeof value); }

static void put_socket(int fd)
{
	struct nlattr *sockets = put(NBD_ATTR_SOCKETS | NLA_F_NESTED, NULL, 0);
	struct nlattr *item = put(NBD_SOCK_ITEM | NLA_F_NESTED, NULL, 0);

	put32(NBD_SOCK_FD, fd);
	char *end = (char *)&message + message.head.nlmsg_len;
	item->nla_len = end - (char *)item;
	sockets->nla_len = end - (char *)sockets;
}

/* Takes the attributes of CTRL_CMD_GETFAMILY's answer: the number of the family, and of its only group. */
static void take_family(const char *at, const char *end)
{
	while (at + NLA_HDRLEN <= end) {
		const struct nlattr *attribute = (const void *)at;
		int type = attribute->nla_type & NLA_TYPE_MASK;
		const char *value = at + NLA_HDRLEN;

		if (attribute->nla_len < NLA_HDRLEN)
			return;
		if (type == CTRL_ATTR_FAMILY_ID)
			memcpy(&family, value, sizeof family);
		if (type == CTRL_ATTR_MCAST_GROUPS) {
			/* groups -> group 1 -> name and number, in any order. */
			const char *inner = value + NLA_HDRLEN;
			while (inner < at + attribute->nla_len) {
				const struct nlattr *one = (const void *)inner;
				if ((one->nla_type & NLA_TYPE_MASK) == CTRL_ATTR_MCAST_GRP_ID)
					memcpy(&group, inner + NLA_HDRLEN, sizeof group);
				if (one->nla_len < NLA_HDRLEN)
					break;
				inner += NLA_ALIGN(one->nla_len);
			}
		}
		at += NLA_ALIGN(attribute->nla_len);
	}
}

/* Sends the message, and reads answers up to its acknowledgement: 0 or -errno. */
static int ask(int netlink)
{
	static char answer[ROOM];

	if (send(netlink, &message, message.head.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t length = recv(netlink, answer, sizeof answer, 0);
		struct nlmsghdr *head = (void *)answer;

		if (length < 0)
			return -errno;
		for (; NLMSG_OK(head, length); head = NLMSG_NEXT(head, length)) {
			if (head->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(head))->error;
			if (head->nlmsg_type == GENL_ID_CTRL)
				take_family((char *)NLMSG_DATA(head) + GENL_HDRLEN, (char *)head + head->nlmsg_len);
		}
	}
}

static int open_netlink(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	return fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -1 : fd;
}

static void keep(int netlink, int events, uint32_t index)
{
	static char event[ROOM];

	/* Whoever brings the swap back must not wait for it. */
	mlockall(MCL_CURRENT | MCL_FUTURE);
	for (;;) {
		ssize_t length = recv(events, event, sizeof event, 0);
		struct nlmsghdr *head = (void *)event;
		struct genlmsghdr *genl = NLMSG_DATA(head);

		if (length < (ssize_t)NLMSG_LENGTH(GENL_HDRLEN) || genl->cmd != NBD_CMD_LINK_DEAD)
			continue;
		int fd = connected();
		begin(family, NBD_CMD_RECONFIGURE);
		put32(NBD_ATTR_INDEX, index);
		put_socket(fd);
		int error = ask(netlink);
		close(fd);
		printf("NBD %s\n", error == 0 ? "RECONNECTED" : strerror(-error));
	}
}

int main(int argc, char **argv)
{
	if (argc != 7) {
		fprintf(stderr, "usage: nbd_keep ADDRESS PORT EXPORT INDEX TIMEOUT_SECONDS DEAD_CONN_SECONDS\n");
		return 1;
	}
	server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
	inet_pton(AF_INET, argv[1], &server.sin_addr);
	name = argv[3];
	uint32_t index = atoi(argv[4]);
	int netlink = open_netlink(), events = open_netlink();

	setvbuf(stdout, NULL, _IOLBF, 0);
	begin(GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	put(CTRL_ATTR_FAMILY_NAME, NBD_GENL_FAMILY_NAME, sizeof NBD_GENL_FAMILY_NAME);
	int error = ask(netlink);
	if (error == 0 && setsockopt(events, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
		error = -errno;
	if (error == 0) {
		int fd = connected();

		begin(family, NBD_CMD_CONNECT);
		put32(NBD_ATTR_INDEX, index);
		put64(NBD_ATTR_SIZE_BYTES, size);
		put64(NBD_ATTR_BLOCK_SIZE_BYTES, 4096);
		put64(NBD_ATTR_SERVER_FLAGS, flags);
		put64(NBD_ATTR_TIMEOUT, strtoull(argv[5], NULL, 0));
		put64(NBD_ATTR_DEAD_CONN_TIMEOUT, strtoull(argv[6], NULL, 0));
		put_socket(fd);
		error = ask(netlink);
		close(fd);
	}
	if (error != 0) {
		fprintf(stderr, "nbd_keep: %s\n", strerror(-error));
		return 1;
	}
	printf("NBD CONNECTED bytes=%llu\n", (unsigned long long)size);
	if (fork() == 0)
		keep(netlink, events, index);
	return 0;
}
