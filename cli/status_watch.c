/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * `status --watch`: the same on a terminal, drawn anew once a second and when its size
 * changes, on the screen that a terminal keeps beside the one with its history.  However
 * it ends, the terminal is as it was; while it is stopped (^Z), too.
 */
#include "cli/status.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

enum { EVERY_MS = 1000, COLUMNS = 80, ROWS = 24 };

struct screen {
	struct termios before;
	bool keys; /* `before` is to be put back */
	sigset_t signals_before;
	int signals;
};

static void put(const char *text)
{
	fputs(text, stdout);
	fflush(stdout);
}

static void screen_enter(struct screen *s)
{
	struct termios quiet;

	s->keys = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &s->before);
	if (s->keys) {
		quiet = s->before;
		quiet.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
		tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
	}
	put("\033[?1049h\033[?25l"); /* the other screen, no cursor */
}

static void screen_leave(struct screen *s)
{
	put("\033[?25h\033[?1049l");
	if (s->keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
}

static int screen_open(struct screen *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGWINCH);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0)
		return -errno;
	sigprocmask(SIG_BLOCK, &set, &s->signals_before);
	screen_enter(s);
	return 0;
}

static void screen_close(struct screen *s)
{
	screen_leave(s);
	close(s->signals);
	sigprocmask(SIG_SETMASK, &s->signals_before, NULL);
}

/* As much of the text as there is room for, line by line over what was there. */
static void draw(const char *text)
{
	struct winsize size = {0};
	unsigned int rows;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
		size = (struct winsize){.ws_row = ROWS, .ws_col = COLUMNS};
	rows = size.ws_row;
	fputs("\033[H", stdout);
	for (unsigned int row = 0; row < rows && *text; row++) {
		size_t len = strcspn(text, "\n");

		if (row)
			putchar('\n');
		fwrite(text, 1, len < size.ws_col ? len : size.ws_col, stdout);
		/* In the last column the cursor waits on the last character. */
		if (len < size.ws_col)
			fputs("\033[K", stdout);
		text += len + (text[len] == '\n');
	}
	put("\033[J");
}

static int frame(struct cli *cli)
{
	cleanup(freep) char *text = NULL;
	time_t now = time(NULL);
	cJSON *status = NULL;
	char clock[32];
	struct tm tm;
	size_t len;
	FILE *out;
	int r;

	cli->why = (struct why){""};
	out = open_memstream(&text, &len);
	if (!out)
		return -ENOMEM;
	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(out, "%s  (q or ^C ends)\n\n", clock);
	r = status_gather(cli, &status);
	if (r) /* a server that starts; what is gone comes back */
		fprintf(out, "%s\n", why_text(&cli->why, r));
	else
		status_print(status, out);
	cJSON_Delete(status);
	if (fclose(out))
		return -ENOMEM;
	draw(text);
	return 0;
}

/* Signals that came: is it time to end? */
static bool take_signals(struct screen *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGWINCH)
			continue;
		if (info.ssi_signo != SIGTSTP)
			return true;
		screen_leave(s);
		raise(SIGSTOP);
		screen_enter(s);
	}
	return false;
}

static bool take_keys(const struct pollfd *keys)
{
	char key;

	if (keys->revents & (POLLHUP | POLLERR))
		return true;
	return keys->revents & POLLIN && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q');
}

int status_watch(struct cli *cli)
{
	struct screen s = {.signals = -1};
	bool ended = false;
	int r = screen_open(&s);

	if (r)
		return r;
	while (!ended && !(r = frame(cli))) {
		struct pollfd fds[] = {{.fd = s.signals, .events = POLLIN},
				       {.fd = s.keys ? STDIN_FILENO : -1, .events = POLLIN}};

		if (poll(fds, ARRAY_SIZE(fds), EVERY_MS) > 0)
			ended = take_signals(&s) || take_keys(&fds[1]);
	}
	screen_close(&s);
	return r;
}
