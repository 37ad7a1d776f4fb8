/* A file layer for tests that loses, tears and refuses what a program gives to the journal's files.
 *
 * Loaded with LD_PRELOAD. It counts the calls on files whose path begins with FAULTFS_PREFIX, and at
 * call FAULTFS_AT (from 1; 0 for never) of the class that the fault needs it does FAULTFS_KIND:
 *
 *   eio     any call: fails with EIO
 *   enospc  calls that take space: fails with ENOSPC
 *   fsync   fsync: fails with EIO, and what it should have flushed is lost although it can still
 *           be read, as in Linux' page cache after a write-back error
 *   torn    write: half of it is written, and the process is killed
 *   power   any call but reads: the process is killed; what was not flushed is lost, except for
 *           what FAULTFS_SEED (0: nothing) lets survive, whole or cut at a sector
 *
 * FAULTFS_DISK names a folder with what the disk really holds: each file as of its last flush. The
 * files themselves are what the program sees; after a power cut the test puts the former in place
 * of the latter. The index of the log (-shm) holds nothing that must last: only EIO, ENOSPC and the
 * budget meet it. Nor does the reserve, whose flush may fail.
 *
 * FAULTFS_BUDGET names a file with the bytes that all the files may take together, read before each
 * growth: over it calls fail with ENOSPC. FAULTFS_REPORT names a file that the counts are mapped to. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS_MAX = 4096, FILES_MAX = 16, PATH_MAX_LEN = 1024, NAME_MAX_LEN = 2 * PATH_MAX_LEN, SECTOR = 512 };
enum class_bit { OPEN = 1, READ = 2, WRITE = 4, SYNC = 8, CUT = 16, UNLINK = 32, GROW = 64 };

struct pending {
    struct pending *next;
    off_t offset;
    size_t length; /* of bytes; a cut to `offset` when `cut` is set */
    int cut;
    unsigned char bytes[];
};

struct file {
    char path[PATH_MAX_LEN];
    int disk; /* what is durable; -1 until the first flush */
    struct pending *first, *last;
};

/* Mapped to FAULTFS_REPORT; the test reads it as little-endian 64-bit numbers. */
struct report {
    uint64_t counted;       /* calls of the fault's class */
    uint64_t fired;         /* 1 once the fault happened */
    uint64_t fired_class;   /* the class of that call */
    uint64_t syncs_after;   /* flushes of the same file since a flush failed */
    uint64_t refused;       /* calls that the budget refused */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct file files[FILES_MAX];
static struct file *by_fd[FDS_MAX];
static struct file *unflushable; /* the file whose flush failed */
static const char *prefix, *disk, *budget;
static char kind;   /* first letter of the kind; 0: none */
static int classes; /* that are counted */
static uint64_t at, seed;
static struct report nowhere, *report = &nowhere;

#define REAL(result, name, ...) static result (*real_##name)(__VA_ARGS__)
REAL(int, open64, const char *, int, ...);
REAL(int, close, int);
REAL(ssize_t, read, int, void *, size_t);
REAL(ssize_t, pread64, int, void *, size_t, off_t);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
REAL(int, fsync, int);
REAL(int, ftruncate64, int, off_t);
REAL(int, unlink, const char *);

static void fatal(const char *what) {
    dprintf(2, "faultfs: %s: %s\n", what, strerror(errno));
    abort();
}

static void *symbol(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) fatal(name);
    return found;
}

static void begin(void) {
    real_open64 = symbol("open64");
    real_close = symbol("close");
    real_read = symbol("read");
    real_pread64 = symbol("pread64");
    real_write = symbol("write");
    real_pwrite64 = symbol("pwrite64");
    real_fsync = symbol("fsync");
    real_ftruncate64 = symbol("ftruncate64");
    real_unlink = symbol("unlink");

    prefix = getenv("FAULTFS_PREFIX");
    disk = getenv("FAULTFS_DISK");
    budget = getenv("FAULTFS_BUDGET");
    const char *text = getenv("FAULTFS_KIND");
    kind = text ? text[0] : 0;
    if ((text = getenv("FAULTFS_AT"))) at = strtoull(text, 0, 10);
    if ((text = getenv("FAULTFS_SEED"))) seed = strtoull(text, 0, 10);
    switch (kind) {
    case 'e': /* eio, enospc */
        classes = getenv("FAULTFS_KIND")[1] == 'n' ? GROW : OPEN | READ | WRITE | SYNC | CUT | UNLINK;
        break;
    case 'f': classes = SYNC; break;
    case 't': classes = WRITE; break;
    case 'p': classes = OPEN | WRITE | SYNC | CUT | UNLINK; break;
    }
    if ((text = getenv("FAULTFS_REPORT"))) {
        int fd = real_open64(text, O_RDWR | O_CREAT, 0600);
        if (fd < 0 || real_ftruncate64(fd, sizeof *report)) fatal(text);
        report = mmap(0, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (report == MAP_FAILED) fatal(text);
        real_close(fd);
    }
}

/* Small, seeded, good enough to choose with (splitmix64). */
static uint64_t chance(void) {
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static int ends(const char *path, const char *end) {
    size_t length = strlen(path);
    return length >= strlen(end) && !strcmp(path + length - strlen(end), end);
}

static int is_ours(const char *path) {
    if (!path || !prefix || strlen(path) >= PATH_MAX_LEN || strncmp(path, prefix, strlen(prefix))) return 0;
    if (ends(path, "-shm")) return kind == 'e' || budget;
    return kind != 'f' || !ends(path, ".reserve");
}

static void disk_path(char *path, const struct file *file) {
    const char *name = strrchr(file->path, '/');
    if (snprintf(path, NAME_MAX_LEN, "%s/%s", disk, name ? name + 1 : file->path) >= NAME_MAX_LEN) fatal(disk);
}

static void put(int fd, const void *bytes, size_t length, off_t offset) {
    if (real_pwrite64(fd, bytes, length, offset) != (ssize_t)length) fatal("the disk");
}

/* The file at a path; the first time, what the disk holds of it is what an earlier process left
 * there, or else what the file holds: a test began with it. */
static struct file *file_at(const char *path, int fd) {
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *file = &files[i];
        if (!strcmp(file->path, path)) return file;
        if (file->path[0]) continue;
        strcpy(file->path, path);
        file->disk = -1;
        if (!disk) return file;
        char name[NAME_MAX_LEN];
        disk_path(name, file);
        file->disk = real_open64(name, O_RDWR);
        struct stat stat;
        if (file->disk < 0 && !fstat(fd, &stat) && stat.st_size > 0) {
            char *bytes = malloc(stat.st_size);
            file->disk = real_open64(name, O_RDWR | O_CREAT, 0600);
            if (!bytes || file->disk < 0 || real_pread64(fd, bytes, stat.st_size, 0) != stat.st_size) fatal(name);
            put(file->disk, bytes, stat.st_size, 0);
            free(bytes);
        }
        return file;
    }
    fatal("too many files");
    return 0;
}

static void remember(struct file *file, const void *bytes, size_t length, off_t offset, int cut) {
    if (!disk) return;
    struct pending *new = malloc(sizeof *new + (bytes ? length : 0));
    if (!new) fatal("memory");
    *new = (struct pending){.offset = offset, .length = length, .cut = cut};
    if (bytes) memcpy(new->bytes, bytes, length);
    if (file->last) file->last->next = new; else file->first = new;
    file->last = new;
}

static void forget(struct file *file) {
    for (struct pending *next; file->first; file->first = next) {
        next = file->first->next;
        free(file->first);
    }
    file->last = 0;
}

/* Makes a change durable, or the first `length` bytes of it. */
static void persist(struct file *file, const struct pending *change, size_t length) {
    if (change->cut) {
        if (real_ftruncate64(file->disk, change->offset)) fatal("the disk");
    } else if (length) {
        put(file->disk, change->bytes, length, change->offset);
    }
}

static void make_disk_file(struct file *file) {
    if (!disk || file->disk >= 0) return;
    char name[NAME_MAX_LEN];
    disk_path(name, file);
    file->disk = real_open64(name, O_RDWR | O_CREAT, 0600);
    if (file->disk < 0) fatal(name);
}

static void flushed(struct file *file) {
    if (!disk) return;
    make_disk_file(file);
    for (struct pending *change = file->first; change; change = change->next)
        persist(file, change, change->length);
    forget(file);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Some of what was not flushed may have reached the disk nevertheless, in any order. */
static void cut_power(void) {
    for (int i = 0; i < FILES_MAX && disk && seed; i++) {
        struct file *file = &files[i];
        for (struct pending *change = file->first; change; change = change->next) {
            uint64_t luck = chance();
            if (luck % 2) continue;
            make_disk_file(file);
            size_t sectors = (change->length + SECTOR - 1) / SECTOR;
            size_t kept = luck >> 8 & 1 ? sectors : (luck >> 16) % (sectors + 1);
            size_t length = kept * SECTOR;
            persist(file, change, length < change->length ? length : change->length);
        }
    }
    die();
}

/* Counts a call; whether the fault is to happen at it. */
static int hit(int class) {
    if (!(class & classes)) return 0;
    uint64_t number = ++report->counted;
    if (!at || report->fired || number < at) return 0;
    report->fired = 1;
    report->fired_class = class;
    return 1;
}

/* Whether the fault at this call is an error, which is then in errno. */
static int fails(int class) {
    if (kind == 't' || !hit(class)) return 0; /* put_at() tears */
    if (kind == 'p') cut_power();
    errno = class & GROW && classes == GROW ? ENOSPC : EIO;
    return 1;
}

/* Whether the budget refuses to let a file end at `end`. */
static int over_budget(int fd, off_t end) {
    if (!budget) return 0;
    struct stat stat;
    if (fstat(fd, &stat) || end <= stat.st_size) return 0;
    char text[32] = {0};
    int limit = real_open64(budget, O_RDONLY);
    if (limit < 0 || real_read(limit, text, sizeof text - 1) < 0) fatal(budget);
    real_close(limit);
    off_t taken = end - stat.st_size;
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal", ".lock", ".reserve"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char name[NAME_MAX_LEN];
        snprintf(name, sizeof name, "%s%s", prefix, suffixes[i]);
        if (!lstat(name, &stat)) taken += stat.st_size;
    }
    if (taken <= (off_t)strtoll(text, 0, 10)) return 0;
    report->refused++;
    errno = ENOSPC;
    return 1;
}

#define ENTER() do { pthread_once(&once, begin); pthread_mutex_lock(&lock); } while (0)
#define LEAVE(value) do { int kept = errno; pthread_mutex_unlock(&lock); errno = kept; return (value); } while (0)

static struct file *of(int fd) {
    return fd >= 0 && fd < FDS_MAX ? by_fd[fd] : 0;
}

static int opened(const char *path, int flags, mode_t mode) {
    pthread_once(&once, begin);
    if (!is_ours(path)) return real_open64(path, flags, mode);
    pthread_mutex_lock(&lock);
    int class = OPEN;
    if (flags & O_CREAT && access(path, F_OK)) class |= GROW;
    errno = 0;
    int fd = -1;
    if (!fails(class)) fd = real_open64(path, flags, mode);
    if (fd >= FDS_MAX) fatal("too many descriptors");
    if (fd >= 0) {
        by_fd[fd] = file_at(path, fd);
        if (flags & O_TRUNC) remember(by_fd[fd], 0, 0, 0, 1);
    }
    LEAVE(fd);
}

static mode_t mode_of(int flags, va_list list) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return opened(path, flags, mode);
}

int close(int fd) {
    pthread_once(&once, begin);
    if (!of(fd)) return real_close(fd);
    pthread_mutex_lock(&lock);
    by_fd[fd] = 0;
    LEAVE(real_close(fd));
}

ssize_t read(int fd, void *bytes, size_t length) {
    pthread_once(&once, begin);
    if (!of(fd)) return real_read(fd, bytes, length);
    pthread_mutex_lock(&lock);
    LEAVE(fails(READ) ? -1 : real_read(fd, bytes, length));
}

ssize_t pread64(int fd, void *bytes, size_t length, off_t offset) {
    pthread_once(&once, begin);
    if (!of(fd)) return real_pread64(fd, bytes, length, offset);
    pthread_mutex_lock(&lock);
    LEAVE(fails(READ) ? -1 : real_pread64(fd, bytes, length, offset));
}

static ssize_t put_at(int fd, const void *bytes, size_t length, off_t offset) {
    if (kind == 't' && hit(WRITE)) {
        real_pwrite64(fd, bytes, length / 2, offset);
        die();
    }
    struct stat stat;
    int grows = !fstat(fd, &stat) && offset + (off_t)length > stat.st_size;
    if (fails(WRITE | (grows ? GROW : 0))) return -1;
    if (over_budget(fd, offset + (off_t)length)) return -1;
    ssize_t written = real_pwrite64(fd, bytes, length, offset);
    if (written > 0) remember(of(fd), bytes, written, offset, 0);
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
    pthread_once(&once, begin);
    if (!of(fd)) return real_pwrite64(fd, bytes, length, offset);
    pthread_mutex_lock(&lock);
    LEAVE(put_at(fd, bytes, length, offset));
}

ssize_t write(int fd, const void *bytes, size_t length) {
    pthread_once(&once, begin);
    if (!of(fd)) return real_write(fd, bytes, length);
    pthread_mutex_lock(&lock);
    ssize_t written = put_at(fd, bytes, length, lseek64(fd, 0, SEEK_CUR));
    if (written > 0) lseek64(fd, written, SEEK_CUR);
    LEAVE(written);
}

/* While it makes a database SQLite keeps a journal to undo that with, which flushes the database. It
 * is empty then. */
static int is_being_made(const struct file *file) {
    char name[NAME_MAX_LEN];
    snprintf(name, sizeof name, "%s-journal", file->path);
    return !access(name, F_OK);
}

int fsync(int fd) {
    pthread_once(&once, begin);
    struct file *file = of(fd);
    if (!file) return real_fsync(fd);
    pthread_mutex_lock(&lock);
    if (unflushable == file && !is_being_made(file)) report->syncs_after++;
    if (fails(SYNC)) {
        unflushable = file;
        forget(file);
        errno = EIO;
        LEAVE(-1);
    }
    /* The real disk's own flush would only cost time: the power that is cut here is not real. */
    flushed(file);
    LEAVE(0);
}

int fdatasync(int fd) {
    return fsync(fd);
}

int ftruncate64(int fd, off_t length) {
    pthread_once(&once, begin);
    struct file *file = of(fd);
    if (!file) return real_ftruncate64(fd, length);
    pthread_mutex_lock(&lock);
    struct stat stat;
    int grows = !fstat(fd, &stat) && length > stat.st_size;
    if (fails(CUT | (grows ? GROW : 0)) || over_budget(fd, length)) LEAVE(-1);
    int cut = real_ftruncate64(fd, length);
    if (!cut) remember(file, 0, 0, length, 1);
    LEAVE(cut);
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

int unlink(const char *path) {
    pthread_once(&once, begin);
    if (!is_ours(path)) return real_unlink(path);
    pthread_mutex_lock(&lock);
    if (fails(UNLINK)) LEAVE(-1);
    int gone = real_unlink(path);
    for (int i = 0; i < FILES_MAX && !gone; i++) {
        struct file *file = &files[i];
        if (strcmp(file->path, path)) continue;
        forget(file);
        if (!disk) continue;
        char name[NAME_MAX_LEN];
        disk_path(name, file);
        real_unlink(name);
        if (file->disk >= 0) real_close(file->disk);
        file->disk = -1;
    }
    LEAVE(gone);
}

/* So that no call gets around the above. */
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t offset) {
    return pread64(fd, bytes, length, offset);
}
