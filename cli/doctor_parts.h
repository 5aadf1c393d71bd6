/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files of `doctor` share, and nobody else includes.
 *
 *	doctor.c           the command
 *	doctor_net.c       interfaces, other DHCP servers
 *	doctor_ports.c     who has the ports that the server needs
 *	doctor_sockets.c   which sockets have a port
 *	doctor_holder.c    the program that has a socket, and how to be rid of it
 *	doctor_portmap.c   where MOUNT and NFS are, by our port mapper or an rpcbind
 *	doctor_firewall.c  rules that drop what has to come in
 *	doctor_system.c    packages, clock, disk, limits, FUSE, confinement
 *	doctor_host.c      plays one host, stage by stage
 *	doctor_root.c      its way from the command line to init
 *	doctor_mount.c     how it mounts its root, and what its kernel asks then
 *	doctor_dhcp.c      its DHCP exchanges
 *	doctor_tftp.c      the files that it is sent
 *	doctor_rpc.c       its calls to port mapper, MOUNT and NFS
 *	doctor_initrd.c    what its kernel and its initrd can do
 */
#ifndef CLI_DOCTOR_PARTS_H
#define CLI_DOCTOR_PARTS_H

#include "cli/cmd.h"
#include "cli/config.h"
#include "cli/finding.h"
#include "common/inventory.h"
#include "tftp/bootfiles.h"
#include "tftp/cmdline.h"

struct doctor {
	struct cli *cli;
	struct findings *f;
	struct config config;
	bool runs; /* a server, on this state */
};

/* ---- doctor_net.c ---- */

/* `serve` would not start, or is not heard: interfaces, others' DHCP. */
void doctor_interfaces(struct doctor *d);
void doctor_others(struct doctor *d);
/* The words that serve its network. */
void doctor_subnet(const struct dhcp_interface *face, char out[200]);

/* ---- doctor_ports.c ---- */

/* A port that has to be reached. */
struct need {
	bool tcp;
	uint16_t port;
	const char *what;
	/* To what our socket is bound; to its address only where there is one interface. */
	enum { NEED_DEVICE, NEED_DEVICE_ADDRESS, NEED_ADDRESS } bound;
};
/* All of them; *n how many.  NFS's is as the configuration says. */
const struct need *doctor_needs(const struct doctor *d, unsigned int *n);

/* All of them, and the rpcbind that may have port 111. */
void doctor_ports(struct doctor *d);
enum port_mapper { MAPPER_OURS, MAPPER_RPCBIND, MAPPER_WRONG };
/* Who has port 111, where a server runs: said only where it is wrong. */
enum port_mapper doctor_port_mapper(struct doctor *d);

/* ---- doctor_firewall.c ---- */

void doctor_firewall(struct doctor *d);

/* ---- doctor_sockets.c ---- */

struct port_socket {
	uint32_t address;    /* 0: all */
	unsigned int device; /* the index of the one it is bound to; 0: of none, or not known */
	unsigned long inode;
	bool ipv6;	/* of IPv6, which takes IPv4 */
	bool connected; /* UDP: to one other */
};
/* Those that have the port of IPv4, those of IPv6 that take it among them; by TCP those that
 * listen.  The caller frees *out.  Returns 0 or a negative errno. */
int port_sockets(bool tcp, uint16_t port, struct port_socket **out, size_t *n);

/* ---- doctor_holder.c ---- */

enum { HOLDER_NAME = 40 };

struct holder {
	int pid;		/* 0: no process that can be seen */
	char name[HOLDER_NAME]; /* of its program */
	char where[80];		/* the caller's; "": where clients come in */
};

struct holder holder_find(unsigned long inode);
/* The command that takes a port from it. */
void holder_mend(const struct holder *h, uint16_t port, char out[200]);

/* ---- doctor_system.c ---- */

void doctor_system(struct doctor *d);
/* The supervisor of the server that runs, by who listens; 0: it cannot be told. */
pid_t doctor_server_pid(const struct doctor *d);

/* ---- doctor_host.c ---- */

int doctor_host(struct doctor *d, const char *name);

/* A program of a boot that asks for an address, and what it was given. */
struct dhcp_part {
	const char *name;   /* "BIOS ROM" */
	int arch;	    /* option 93; -1: none */
	const char *vendor; /* option 60; NULL: none */
	const char *board;  /* how option 97 begins; NULL: without it */
	bool ipxe;
	bool kernel;					 /* asks as a kernel does */
	bool final;					 /* takes the OFFER, and never REQUESTs */
	enum { BOARD_ANY, BOARD_PI3, BOARD_OTHER } only; /* by its MAC */
	uint32_t address;
	uint32_t server;   /* siaddr */
	char file[160];	   /* "": none */
	char root[260];	   /* option 17 */
	char refused[256]; /* why there was no answer; "": it was silent */
	bool answered;
};

enum { DHCP_PARTS = 12 };

/* A host that is played, and what it has been given so far. */
struct host_play {
	struct doctor *d;
	const struct host *host; /* NULL: not registered */
	struct mac mac;
	char name[NAME_MAX_LEN + 1]; /* or the MAC */
	uint32_t address;
	uint32_t server;
	char cmdline[CMDLINE_MAX];
	char image[80];
	struct dhcp_part parts[DHCP_PARTS]; /* those that it may have */
	unsigned int nparts;
	bool walled;   /* the firewall keeps it out */
	bool menuless; /* it gets no menu, and why has been said */
	enum { KERNEL_ANY, KERNEL_X86, KERNEL_ARM, KERNEL_ARM64, KERNEL_RISCV } kernel;
};

/* The command that mends what a service refuses in these words; NULL: none is known. */
const char *doctor_mend(const struct host_play *p, const char *words, char out[200]);

/* Each of these plays a part of its boot.  Returns 0, 1: it would stop here, and that is
 * said, or a negative errno. */

/* ---- doctor_dhcp.c ---- */

int doctor_dhcp(struct host_play *p, const char *interface);

/* ---- doctor_tftp.c ---- */

/* What the firmwares ask for alike: the menu, and what that names. */
int doctor_menu(struct host_play *p);
int doctor_boot_files(struct host_play *p, const struct boot_files *files);
/* Then what each asks for before that, of those that can start such a kernel. */
int doctor_loaders(struct host_play *p);

/* ---- doctor_root.c ---- */

/* From the command line to init. */
int doctor_root(struct host_play *p, enum boot_dialect dialect);

/* ---- doctor_mount.c ---- */

struct rpc_client;
struct mounted;

/* Over c[0], by TCP, and c[1], by UDP. */
int doctor_mount(struct host_play *p, struct rpc_client *const c[2], const char *path,
		 enum boot_dialect dialect, struct mounted *out);

/* ---- doctor_rpc.c ---- */

enum { RPC_PROGRAM_NFS = 100003, RPC_PROGRAM_MOUNT = 100005, RPC_PROGRAM_ACL = 100227 };

/* Who calls, and the address of the server that is called. */
struct rpc_caller {
	struct mac mac;
	uint32_t address;
	uint32_t server;
	uint16_t port;
};

/* As `as`, to a service of the nfs child, by TCP or UDP. */
int rpc_client_open(struct doctor *d, const struct rpc_caller *as, const char *service, bool udp,
		    struct rpc_client **out);
/* As we are, to whoever has that port. */
int rpc_client_connect(struct doctor *d, uint32_t address, uint16_t port, bool udp,
		       struct rpc_client **out);
void rpc_client_close(struct rpc_client *c); /* NULL is fine */
CLEANUP_DEFINE(struct rpc_client *, rpc_client_close);

/* Why the last call was refused, as the server would have logged it; "": it said nothing. */
const char *rpc_client_reason(struct rpc_client *c);

enum { RPC_HANDLE_MAX = 64 };
struct rpc_handle {
	uint32_t len;
	uint8_t bytes[RPC_HANDLE_MAX];
};

/* What a kernel has of a root that it mounted. */
struct mounted {
	struct rpc_handle root;
	uint32_t name_most; /* bytes of a name: it does not ask for a longer one */
};

enum { RPC_CALL_MS = 30000 };

/* Each returns 0, a positive status of its protocol, or a negative errno with words:
 * -ETIMEDOUT where no reply came, -EPIPE where the connection was closed (the next call opens
 * another), -EACCES where the call is denied, -EBADMSG where its reply is not understood. */
int rpc_getport(struct rpc_client *c, uint32_t program, uint32_t version, bool tcp, uint32_t *port);
/* The procedure that does nothing, of version 3, as nobody; no longer than `ms`.
 * -EPROTONOSUPPORT: it answers that there is none. */
int rpc_null(struct rpc_client *c, uint32_t program, int ms);
int rpc_mount(struct rpc_client *c, const char *path, bool auth_sys, struct rpc_handle *out);
int rpc_unmount(struct rpc_client *c, const char *path, bool auth_sys);

/* What a kernel takes from FSINFO and PATHCONF. */
struct rpc_limits {
	uint32_t read;	/* bytes of one READ, ... */
	uint32_t write; /* ... of one WRITE ... */
	uint32_t dir;	/* ... and of a READDIR */
	uint64_t file;	/* the largest, in bytes */
	uint32_t name;	/* the longest, in bytes */
};
int rpc_fsinfo(struct rpc_client *c, const struct rpc_handle *root, struct rpc_limits *out);
int rpc_pathconf(struct rpc_client *c, const struct rpc_handle *root, struct rpc_limits *out);

struct rpc_file {
	struct rpc_handle handle;
	uint32_t type; /* 1 file, 2 directory, 5 link */
	uint32_t mode;
	uint64_t size;
};
int rpc_attr(struct rpc_client *c, struct rpc_file *file); /* of file->handle */
/* A link is not followed. */
int rpc_lookup(struct rpc_client *c, const struct rpc_handle *dir, const char *name, size_t len,
	       struct rpc_file *out);
int rpc_readlink(struct rpc_client *c, const struct rpc_handle *file, char *out, size_t size);
int rpc_read(struct rpc_client *c, const struct rpc_handle *file, uint64_t offset, void *buf,
	     size_t size, size_t *len);
const char *rpc_status_text(int status); /* of NFS and MOUNT version 3 */

/* ---- doctor_portmap.c ---- */

/* Does the rpcbind that has port 111 know us?  Returns 0, 1: no, and that is said. */
int doctor_rpcbind(struct doctor *d);
/* What the port mapper tells a host whose mount has these options.  Returns 0, 1: it would
 * stop here, or a negative errno. */
int doctor_portmap(struct host_play *p, const struct rpc_caller *as, const char *options);

/* ---- doctor_initrd.c ---- */

/* Look into the kernel and the initrd of `view`. */
void doctor_kernel(struct doctor *d, struct cli_view *v, const struct boot_files *files);

#endif
