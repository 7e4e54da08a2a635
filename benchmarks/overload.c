/* Sends the same request over many keep-alive connections and tells what came of it. One thread, Linux.

   overload -p PORT -q REQUEST -d SECONDS [-w WARM_SECONDS] -r RATE [-n CONNECTIONS_MAX]
   overload -p PORT -q REQUEST -d SECONDS [-w WARM_SECONDS] -c CLIENTS [-z PAUSE_SECONDS]

   REQUEST is a file with head and body, as they go over the wire. With -r an open loop: one request each
   1/RATE seconds, whatever became of those before, on an idle connection or a new one; latency counts from
   when it was due. With -c a closed loop: each client asks again when it is answered, PAUSE_SECONDS later if
   it was refused.

   Counts what was due within SECONDS after WARM_SECONDS; for what is still under way then it waits
   SETTLE_NS. `answered_per_s` counts the answers that arrived within SECONDS.

   Where it may (root) it runs before all that share its core. How late it is nevertheless: `send_lag` is from when a request was due to when it was sent (or its connection
   begun), `read_lag` from when the kernel had the end of a refusal to when it was read here. Without these
   two, what is left of a refusal's latency is `refused_net`. Prints one line of JSON; what is unknown is null. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/net_tstamp.h>
#include <math.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL
#define SETTLE_NS (3 * SECOND_NS)
#define HEAD_MAX 8192
#define EVENTS_MAX 64  /* between two looks at what is due */
#define STEPS 12       /* of a histogram: the first ends at 1/16 ms, each further one at twice as much */

typedef enum { CLOSED, DIALLING, IDLE, HEAD, BODY } State;

typedef struct {
    int fd, status, head_len, until_close, closes, place; /* place: in `idle` */
    State state;
    int64_t due_ns, sent_ns, left; /* left: bytes of the body; -1: up to the last chunk */
    char head[HEAD_MAX];
    char tail[7];
} Connection;

typedef struct {
    double *values;
    size_t count, room;
} Series;

typedef struct {
    Connection *connection;
    int64_t at_ns;
} Pause;

static const char last_chunk[7] = {'\r', '\n', '0', '\r', '\n', '\r', '\n'};

static int port, poller, connections_max = 3000, clients;
static double pause_s = 1.0;
static char *request;
static size_t request_len;
static Connection *connections;
static Connection **idle, **unused;
static int idle_count, unused_count;
static Pause *pauses; /* a ring, in order: they are all as long */
static int pauses_from, pauses_count;
static int64_t from_ns, to_ns, unsettled;
static long answered, refused, broken, no_connection, opened;
static Series refused_ms, refused_net_ms, answered_ms, send_lag_ms, read_lag_ms;

static int64_t clock_ns(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec * SECOND_NS + at.tv_nsec;
}

static int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void add(Series *series, double value) {
    if (series->count == series->room) {
        series->room = series->room ? 2 * series->room : 4096;
        series->values = realloc(series->values, series->room * sizeof(double));
        if (!series->values) fail("realloc");
    }
    series->values[series->count++] = value;
}

static int counts(const Connection *c) { return c->due_ns >= from_ns && c->due_ns < to_ns; }

static void put_idle(Connection *c) {
    c->state = IDLE;
    c->place = idle_count;
    idle[idle_count++] = c;
}

static void take_idle(Connection *c) {
    idle[c->place] = idle[--idle_count];
    idle[c->place]->place = c->place;
}

static void hang_up(Connection *c) {
    if (c->state == IDLE) take_idle(c);
    close(c->fd);
    c->state = CLOSED;
    if (!clients) unused[unused_count++] = c;
}

static void rest(Connection *c) {
    Pause *pause = &pauses[(pauses_from + pauses_count++) % clients];
    pause->connection = c;
    pause->at_ns = now_ns() + (int64_t)(pause_s * SECOND_NS);
}

static void ask(Connection *c, int64_t due_ns);

/* The request is over: `status` 0 when its connection broke. `read_lag_ns` is -1 where it is not known. */
static void over(Connection *c, int status, int64_t read_lag_ns) {
    int64_t at_ns = now_ns();
    double took_ms = (at_ns - c->due_ns) / 1e6;
    if (status == 200 && at_ns >= from_ns && at_ns < to_ns) answered++;
    if (counts(c)) {
        unsettled--;
        if (status == 200) {
            add(&answered_ms, took_ms);
        } else if (status == 503) {
            refused++;
            add(&refused_ms, took_ms);
            if (read_lag_ns >= 0) {
                add(&read_lag_ms, read_lag_ns / 1e6);
                add(&refused_net_ms, took_ms - (c->sent_ns - c->due_ns + read_lag_ns) / 1e6);
            }
        } else {
            broken++;
        }
    }
    if (!status || c->closes) hang_up(c);
    else put_idle(c);
    if (clients && at_ns < to_ns) {
        if (status == 200) ask(c, at_ns);
        else rest(c);
    }
}

static void watch(Connection *c, int action, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, action, c->fd, &event)) fail("epoll_ctl");
}

static void write_request(Connection *c) {
    c->state = HEAD;
    c->head_len = 0;
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len) over(c, 0, -1);
}

static void dial(Connection *c) {
    int on = 1, stamps = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof stamps);
    opened++;
    c->state = DIALLING;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) {
        over(c, 0, -1);
        return;
    }
    watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void ask(Connection *c, int64_t due_ns) {
    c->due_ns = due_ns;
    c->sent_ns = now_ns();
    if (counts(c)) {
        unsettled++;
        add(&send_lag_ms, (c->sent_ns - due_ns) / 1e6);
    }
    if (c->state == IDLE) {
        take_idle(c);
        write_request(c);
    } else {
        dial(c);
    }
}

/* The kernel's time of the last bytes that `recvmsg` gave, by the clock of the day; 0: not told. */
static int64_t stamp_ns(struct msghdr *message) {
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPING) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(part), sizeof at);
            return at.tv_sec * SECOND_NS + at.tv_nsec;
        }
    return 0;
}

/* True when the body has ended with these bytes of it. */
static int ends(Connection *c, const char *data, size_t size) {
    if (c->left >= 0) {
        c->left -= size;
        return c->left <= 0;
    }
    size_t keep = sizeof c->tail;
    if (size >= keep) {
        memcpy(c->tail, data + size - keep, keep);
    } else {
        memmove(c->tail, c->tail + size, keep - size);
        memcpy(c->tail + keep - size, data, size);
    }
    return !c->until_close && !memcmp(c->tail, last_chunk, keep);
}

/* True when the head is complete; -1 where it is no head of an answer. `used`: so much of `data` is of it. */
static int read_head(Connection *c, const char *data, size_t size, size_t *used) {
    size_t before = c->head_len, take = size;
    if (take > HEAD_MAX - 1 - before) take = HEAD_MAX - 1 - before;
    memcpy(c->head + before, data, take);
    c->head[before + take] = 0;
    c->head_len = before + take;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return c->head_len == HEAD_MAX - 1 ? -1 : 0;
    *used = end + 4 - c->head - before;
    end[2] = 0;
    if (c->head_len < 12 || strncmp(c->head, "HTTP/1.", 7)) return -1;
    c->status = atoi(c->head + 9);
    c->closes = strcasestr(c->head, "\r\nconnection: close") != NULL;
    const char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->left = length ? atoll(length + 17) : -1;
    c->until_close = !length && !strcasestr(c->head, "\r\ntransfer-encoding: chunked");
    memcpy(c->tail, "   \r\n\r\n", sizeof c->tail);
    c->state = BODY;
    return 1;
}

static void receive(Connection *c) {
    static char data[262144];
    char control[256];
    struct iovec piece = {data, sizeof data};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(c->fd, &message, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        if (c->state == IDLE) {
            hang_up(c);
        } else if (size == 0 && c->state == BODY && c->until_close) {
            c->closes = 1;
            over(c, c->status, -1);
        } else {
            over(c, 0, -1);
        }
        return;
    }
    size_t used = 0;
    if (c->state == HEAD) {
        int found = read_head(c, data, size, &used);
        if (found < 0) over(c, 0, -1);
        if (found <= 0) return;
    }
    if (c->state != BODY) { /* nobody asked */
        hang_up(c);
        return;
    }
    if (ends(c, data + used, size - used)) {
        int64_t stamp = c->status == 503 ? stamp_ns(&message) : 0;
        int64_t lag_ns = stamp ? clock_ns(CLOCK_REALTIME) - stamp : -1;
        over(c, c->status, stamp && lag_ns < 0 ? 0 : lag_ns);
    }
}

static void happened(Connection *c) {
    if (c->state == DIALLING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            over(c, 0, -1);
            return;
        }
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
        write_request(c);
    } else if (c->state != CLOSED) {
        receive(c);
    }
}

/* Open loop: one more is due. */
static void send_one(int64_t due_ns) {
    if (idle_count) ask(idle[idle_count - 1], due_ns);
    else if (unused_count) ask(unused[--unused_count], due_ns);
    else if (due_ns >= from_ns) no_connection++;
}

static int by_size(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static void print_at(const char *name, const Series *series, double share) {
    size_t place = share * series->count;
    if (!series->count) printf("\"%s\":null,", name);
    else printf("\"%s\":%.4f,", name, series->values[place < series->count ? place : series->count - 1]);
}

static void print_series(const char *name, Series *series) {
    char full[64];
    qsort(series->values, series->count, sizeof(double), by_size);
    snprintf(full, sizeof full, "%s_p50_ms", name);
    print_at(full, series, 0.5);
    snprintf(full, sizeof full, "%s_p99_ms", name);
    print_at(full, series, 0.99);
}

static void print_histogram(const char *name, const Series *series) {
    printf("\"%s_max_ms\":%.4f,", name, series->values[series->count - 1]);
    printf("\"%s_histogram\":[", name);
    size_t place = 0;
    for (int step = 0; step < STEPS; step++) {
        size_t first = place;
        double end_ms = ldexp(1.0 / 16, step);
        while (place < series->count && (step == STEPS - 1 || series->values[place] < end_ms)) place++;
        printf(step ? ",%zu" : "%zu", place - first);
    }
    printf("],");
}

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void print_all(double seconds, double cpu_share) {
    printf("{\"answered_per_s\":%.4f,\"refused_per_s\":%.4f,", answered / seconds, refused / seconds);
    print_series("refused", &refused_ms);
    print_series("refused_net", &refused_net_ms);
    print_series("answered", &answered_ms);
    print_series("send_lag", &send_lag_ms);
    if (send_lag_ms.count) print_histogram("send_lag", &send_lag_ms);
    print_series("read_lag", &read_lag_ms);
    if (read_lag_ms.count) print_histogram("read_lag", &read_lag_ms);
    printf("\"no_connection\":%ld,\"broken\":%ld,\"unsettled\":%ld,\"connections\":%ld,\"cpu_share\":%.4f}\n",
           no_connection, broken, (long)unsettled, opened, cpu_share);
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail(path);
    request_len = ftell(file);
    rewind(file);
    request = malloc(request_len + 1);
    if (!request || fread(request, 1, request_len, file) != request_len) fail(path);
    fclose(file);
}

static void await(int64_t until_ns) {
    struct epoll_event events[EVENTS_MAX];
    int64_t wait_ns = until_ns - now_ns();
    if (wait_ns < 0) wait_ns = 0;
    struct timespec wait = {wait_ns / SECOND_NS, wait_ns % SECOND_NS};
    int count = epoll_pwait2(poller, events, EVENTS_MAX, &wait, NULL);
    for (int i = 0; i < count; i++) happened(events[i].data.ptr);
}

int main(int argc, char **argv) {
    double seconds = 0, warm_s = 0, rate = 0;
    int option;
    while ((option = getopt(argc, argv, "p:q:d:w:r:n:c:z:")) != -1) switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'q': read_request(optarg); break;
        case 'd': seconds = atof(optarg); break;
        case 'w': warm_s = atof(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'n': connections_max = atoi(optarg); break;
        case 'c': clients = atoi(optarg); break;
        case 'z': pause_s = atof(optarg); break;
        default: return 2;
        }
    if (!port || !request || seconds <= 0 || (rate > 0) == (clients > 0)) {
        fprintf(stderr, "give -p, -q, -d, and one of -r and -c\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    struct sched_param first = {.sched_priority = 1};
    sched_setscheduler(0, SCHED_FIFO, &first); /* before whoever shares the core; where it is not allowed, later */
    int places = clients ? clients : connections_max;
    connections = calloc(places, sizeof *connections);
    idle = calloc(places, sizeof *idle);
    unused = calloc(places, sizeof *unused);
    pauses = calloc(places, sizeof *pauses);
    poller = epoll_create1(0);
    if (!connections || !idle || !unused || !pauses || poller < 0) fail("start");

    int64_t began_ns = now_ns();
    from_ns = began_ns + (int64_t)(warm_s * SECOND_NS);
    to_ns = from_ns + (int64_t)(seconds * SECOND_NS);
    for (int i = places - 1; i >= 0; i--) {
        if (clients) ask(&connections[i], began_ns);
        else unused[unused_count++] = &connections[i];
    }
    double cpu_from_s = cpu_s(), sent = 0;
    int64_t due_ns = began_ns;
    for (int64_t at_ns = began_ns; at_ns < to_ns; at_ns = now_ns()) {
        int64_t next_ns = to_ns;
        if (clients) {
            while (pauses_count && pauses[pauses_from].at_ns <= at_ns) {
                Connection *rested = pauses[pauses_from].connection;
                pauses_from = (pauses_from + 1) % clients;
                pauses_count--;
                ask(rested, at_ns);
            }
            if (pauses_count && pauses[pauses_from].at_ns < next_ns) next_ns = pauses[pauses_from].at_ns;
        } else {
            while (due_ns <= at_ns && due_ns < to_ns) {
                send_one(due_ns);
                due_ns = began_ns + (int64_t)(++sent * SECOND_NS / rate);
            }
            if (due_ns < next_ns) next_ns = due_ns;
        }
        await(next_ns);
    }
    double cpu_share = (cpu_s() - cpu_from_s) / (warm_s + seconds);
    while (unsettled && now_ns() < to_ns + SETTLE_NS) await(to_ns + SETTLE_NS);
    print_all(seconds, cpu_share);
    return 0;
}
