// Readers of one topic, many, in one process: event streams or WebSockets. Used by bench/reading.py.
//
//   readers sse|ws PORT PATH READERS AT_ONCE
//
// Opens them, AT_ONCE at a time, and says {"seconds":...} when the last has its answer's head. Reads until a line on
// stdin says how many events were published; from then on until everybody has all of them, or nothing has come for
// QUIET seconds, and says the rest. An event's data is {"n":SEQUENCE,"t":UNIX TIME,... counted from 1 without a gap:
// what a reader has not seen and was not told of ("dropped":NUMBER, of a gap) is lost.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CARRY 64         // bytes: more than from the beginning of an event to the end of its time
#define ROOM (256 * 1024)
#define MOST_DELAYS (8 << 20)
#define QUIET 3.0

typedef struct {
    int fd, opened, kept;
    char carry[CARRY];
    long long last, events, repeats, told;
} Reader;

static const char *EVENT = "{\"n\":", *DROPPED = "\"dropped\":";
static const char *path;
static int port, websockets, epoll, opened, ended;
static float *delays;
static long number_of_delays;
static long long events, bytes, reads;

static double now(int clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void ask(Reader *r) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (r->fd < 0 || connect(r->fd, (void *)&address, sizeof address) < 0) {
        perror("connect");
        exit(1);
    }
    const char *more = websockets ? "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://localhost\r\n"
                                  : "Accept: text/event-stream\r\n";
    char text[1024];
    int size = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, more);
    if (write(r->fd, text, size) != size) {
        perror("write");
        exit(1);
    }
    fcntl(r->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = r};
    epoll_ctl(epoll, EPOLL_CTL_ADD, r->fd, &interest);
}

static void heard(Reader *r, long long n, double t) {
    if (n <= r->last) {
        r->repeats++;
        return;
    }
    r->last = n;
    r->events++;
    events++;
    if (number_of_delays < MOST_DELAYS) delays[number_of_delays++] = now(CLOCK_REALTIME) - t;
}

// Returns where the next search begins, or NULL if the match is not yet all there.
static char *taken(Reader *r, char *at, char *end) {
    char *stop;
    if (*at == '{') {
        char *comma = memchr(at, ',', end - at);
        char *second = comma ? memchr(comma + 1, ',', end - comma - 1) : NULL;
        if (!second) return NULL;
        heard(r, strtoll(at + strlen(EVENT), NULL, 10), strtod(comma + 5, NULL));
        return second;
    }
    long long count = strtoll(at + strlen(DROPPED), &stop, 10);
    if (stop >= end) return NULL;
    r->told += count;
    return stop;
}

static void scan(Reader *r, char *start, char *end) {
    char *from = start;
    *end = 0;
    char *event = memmem(from, end - from, EVENT, strlen(EVENT));
    char *dropped = memmem(from, end - from, DROPPED, strlen(DROPPED));
    while (event || dropped) {
        char *at = !dropped || (event && event < dropped) ? event : dropped;
        char *next = taken(r, at, end);
        if (!next) break;
        from = next;
        if (event && event < from) event = memmem(from, end - from, EVENT, strlen(EVENT));
        if (dropped && dropped < from) dropped = memmem(from, end - from, DROPPED, strlen(DROPPED));
    }
    if (end - from > CARRY) from = end - CARRY;
    r->kept = end - from;
    memcpy(r->carry, from, r->kept);
}

static void head(Reader *r, char *start, char *end) {
    *end = 0;
    if (!strstr(start, "\r\n\r\n")) {  // of a few hundred bytes, which come at once
        fprintf(stderr, "half a head: %s\n", start);
        exit(1);
    }
    if (strncmp(start + 9, websockets ? "101" : "200", 3)) {
        fprintf(stderr, "answered by %.300s\n", start);
        exit(1);
    }
    r->opened = 1;
    opened++;
}

static void receive(Reader *r) {
    static char buffer[CARRY + ROOM + 1];
    memcpy(buffer, r->carry, r->kept);
    ssize_t size = recv(r->fd, buffer + r->kept, ROOM, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, r->fd, NULL);
        ended++;
        return;
    }
    reads++;
    bytes += size;
    char *end = buffer + r->kept + size;
    if (!r->opened) head(r, buffer, end);
    scan(r, buffer, end);
}

static int ascending(const void *a, const void *b) {
    float x = *(float *)a, y = *(float *)b;
    return (x > y) - (x < y);
}

static double delay(double share) {
    return number_of_delays ? delays[(long)(share * (number_of_delays - 1))] * 1000 : 0;
}

static void report(Reader *readers, int count, long long published, double began) {
    long long lost = 0, told = 0, repeats = 0;
    for (Reader *r = readers; r < readers + count; r++) {
        long long missing = published - r->events - r->told;
        lost += missing > 0 ? missing : 0;
        told += r->told;
        repeats += r->repeats;
    }
    qsort(delays, number_of_delays, sizeof *delays, ascending);
    double busy = now(CLOCK_PROCESS_CPUTIME_ID) / (now(CLOCK_MONOTONIC) - began);
    printf("{\"events\":%lld,\"lost\":%lld,\"told\":%lld,\"repeats\":%lld,\"ended\":%d,\"bytes\":%lld,\"reads\":%lld,"
           "\"p50\":%.3f,\"p99\":%.3f,\"busy\":%.3f}\n",
           events, lost, told, repeats, ended, bytes, reads, delay(0.5), delay(0.99), busy);
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    websockets = !strcmp(argv[1], "ws");
    port = atoi(argv[2]);
    path = argv[3];
    int count = atoi(argv[4]), at_once = atoi(argv[5]), asked = 0, said = 0;
    Reader *readers = calloc(count, sizeof *readers);
    delays = malloc(MOST_DELAYS * sizeof *delays);
    epoll = epoll_create1(0);
    struct epoll_event stdin_too = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &stdin_too);
    double began = now(CLOCK_MONOTONIC), latest = began;
    long long published = -1;
    for (;;) {
        while (asked < count && asked < opened + at_once) ask(&readers[asked++]);
        if (opened == count && !said++) {
            printf("{\"seconds\":%.6f}\n", now(CLOCK_MONOTONIC) - began);
            fflush(stdout);
        }
        struct epoll_event found[256];
        int ready = epoll_wait(epoll, found, 256, 100);
        long long before = events;
        for (int i = 0; i < ready; i++) {
            if (found[i].data.ptr) {
                receive(found[i].data.ptr);
                continue;
            }
            char line[32] = "";
            if (read(0, line, sizeof line - 1) <= 0) return 1;
            published = atoll(line);
            latest = now(CLOCK_MONOTONIC);
        }
        if (events != before) latest = now(CLOCK_MONOTONIC);
        if (published >= 0 && (events == published * count || now(CLOCK_MONOTONIC) - latest > QUIET)) break;
    }
    report(readers, count, published, began);
}
