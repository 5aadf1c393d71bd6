# SPDX-License-Identifier: GPL-2.0-or-later
"""What is done to a state, and through which states it may pass on its way.

The milestones of an operation are the states that its user may find, in their order:
the base, then what each list of commands leaves, the last one being the whole operation.
Nothing between two of them may ever be seen.
"""


class Operation:
    def __init__(self, name, base, *words, stdin=b"", milestones=None, answers=(), targets=(),
                 seals=True, alike=False):
        self.name = name
        self.base = base
        self.words = words
        self.stdin = stdin
        # Lists of commands, each from the base; the command itself is added.
        self.milestones = [*(milestones or []), [words]]
        # (text, milestone): once the text was printed, that milestone was reached.
        self.answers = answers
        self.targets = targets  # whose digests are compared
        self.seals = seals  # the order of seals is known
        self.waits = "--wait" in words  # until all is copied, whatever goes wrong
        # Rows alone, of the same kind as those of another operation: some of its steps do,
        # unless all are asked for.
        self.alike = alike


ADD = ("image", "add", "lab")
ORIGIN = {"dir": "@PLACE@/first", "tar": "@PLACE@/first.tar", "oci": "@PLACE@/layout1"}
AGAIN = {"dir": "@PLACE@/third", "tar": "@PLACE@/second.tar", "oci": "@PLACE@/layout2"}
NOTHING = ("group", "set", "nobody", "a=b")  # makes the database and fails
NEW = "52:54:00:00:00:09"

OPERATIONS = [
    # A state that is not there yet.
    Operation("init", "empty", "group", "add", "desk", milestones=[[NOTHING]]),
    Operation("init-dir", "empty", *ADD, ORIGIN["dir"], milestones=[[NOTHING]],
              answers=[("lab@1", 2)], targets=["lab@1"]),
    # Images, first and further versions.
    Operation("add-dir-wait", "site", *ADD, ORIGIN["dir"], "--wait",
              milestones=[[(*ADD, ORIGIN["dir"])]], answers=[("lab@4", 1)],
              targets=["lab@3", "lab@4"]),
    Operation("add-dir-known", "site", *ADD, AGAIN["dir"], answers=[("lab@4", 1)],
              targets=["lab@4"]),
    Operation("add-new-wait", "site", "image", "add", "other", ORIGIN["dir"], "--wait",
              milestones=[[("image", "add", "other", ORIGIN["dir"])]],
              answers=[("other@1", 1)], targets=["other@1"]),
    Operation("add-tar", "empty", *ADD, ORIGIN["tar"], milestones=[[NOTHING]],
              answers=[("lab@1", 2)], targets=["lab@1"]),
    Operation("add-tar-known", "site", *ADD, AGAIN["tar"], "--activate", answers=[("lab@4", 1)],
              targets=["lab@4", "amy"]),
    Operation("add-oci", "site", "image", "add", "oci", ORIGIN["oci"], answers=[("oci@1", 1)],
              targets=["oci@1"]),
    Operation("add-oci-known", "oci", "image", "add", "oci", AGAIN["oci"],
              answers=[("oci@2", 1)], targets=["oci@1", "oci@2"]),
    Operation("activate", "site", "image", "activate", "lab@3", targets=["amy"], alike=True),
    Operation("rollback", "site", "image", "rollback", "lab", answers=[("lab@1", 1)],
              targets=["amy"], alike=True),
    Operation("remove", "site", "image", "remove", "lab@3", answers=[("freed", 1)],
              targets=["lab@3", "amy"]),
    Operation("prune", "third", "image", "prune", "lab", "--keep", "1",
              milestones=[[("image", "remove", "lab@1")]], answers=[("2 removed", 2)],
              targets=["lab@1", "lab@2", "amy"]),
    # Copies on read, and the fill.
    Operation("read", "half", "view", "cat", "lab", "/usr/bin/tool",
              targets=["lab"]),
    Operation("fill", "half", "image", "add", "other", "@PLACE@/second", "--wait",
              seals=False, answers=[("other@1", 1)], targets=["lab", "other"]),
    # Overlays.
    Operation("put", "site", "overlay", "put", "host:amy", "/etc/a/new", stdin=b"body\n",
              targets=["amy"]),
    Operation("put-over", "site", "overlay", "put", "all", "/etc/motd", "--next-boot",
              stdin=b"another\n", targets=["amy"], alike=True),
    Operation("put-secret", "site", "overlay", "put", "host:bob", "/etc/token", "--secret",
              stdin=b"bob's\n", targets=["bob"]),
    Operation("put-template", "site", "overlay", "put", "group:desk", "/etc/tool", "--template",
              stdin=b"{{mac}} {{printer}}\n", targets=["amy"], alike=True),
    Operation("link", "site", "overlay", "link", "host:amy", "/usr/lib/x", "../bin/tool",
              targets=["amy"], alike=True),
    Operation("mkdir", "site", "overlay", "mkdir", "all", "/srv/data", "--mode", "0750",
              targets=["amy", "bob"], alike=True),
    Operation("hide", "site", "overlay", "hide", "all", "/usr/share", targets=["amy", "bob"],
              alike=True),
    Operation("opaque", "site", "overlay", "opaque", "group:desk", "/etc", targets=["amy"],
              alike=True),
    Operation("attr", "site", "overlay", "attr", "host:bob", "/etc/conf", "--mode", "0600",
              targets=["bob"], alike=True),
    Operation("reset", "site", "overlay", "reset", "all", "/etc/motd", targets=["amy", "bob"],
              alike=True),
    # Hosts and groups.
    Operation("host-add", "site", "host", "add", NEW, "--name", "carl", "--image", "lab@1",
              "--group", "desk", "--address", "10.77.0.51", targets=["amy"]),
    Operation("host-set", "site", "host", "set", "amy", "name=ann", "mac=" + NEW, "address=",
              "group=", "key=value", "image=lab@3", targets=["amy", "ann"], alike=True),
    Operation("host-remove", "site", "host", "remove", "amy", targets=["amy", "bob"]),
    Operation("group-add", "site", "group", "add", "lounge", alike=True),
    Operation("group-set", "site", "group", "set", "desk", "printer=lp2", "image=junk",
              targets=["amy"], alike=True),
    Operation("group-remove", "lounge", "group", "remove", "lounge"),
    # All of it at once: what comes, goes, changes hands and stays.
    Operation("import", "site", "import", "@PLACE@/folder", targets=["amy", "bob", "lab@2"]),
    Operation("import-init", "empty", "import", "@PLACE@/folder0", milestones=[[NOTHING]]),
    Operation("export", "site", "export", "@PLACE@/export"),
    Operation("backup", "site", "backup", "@PLACE@/backup.tar"),
]
BY_NAME = {o.name: o for o in OPERATIONS}
