/* Lets the clocks of a process run SPEED times as fast from given instants on: a library for LD_PRELOAD.

   FAST_CLOCK="SPEED:REALTIME_NS:MONOTONIC_NS:BOOTTIME_NS", as `fast_clocks` of soak.py sets it; all processes with the
   same variable share their clocks. Waits are shortened, so that they end when these clocks say so; clocks of CPU time,
   and stamps that the kernel gives to files, stay as they are. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

static double speed = 1;
static long long from_realtime, from_monotonic, from_boottime;

static void read_variable(void)
{
    static int is_read;
    if (is_read)
        return;
    const char *text = getenv("FAST_CLOCK");
    double wanted;
    if (text && sscanf(text, "%lf:%lld:%lld:%lld", &wanted, &from_realtime, &from_monotonic, &from_boottime) == 4)
        speed = wanted;
    is_read = 1;
}

static const long long *begin_of(clockid_t clock)
{
    read_variable();
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return &from_realtime;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
        return &from_monotonic;
    case CLOCK_BOOTTIME:
        return &from_boottime;
    default:
        return NULL;
    }
}

static long long in_ns(const struct timespec *time)
{
    return time->tv_sec * SECOND_NS + time->tv_nsec;
}

static struct timespec of_ns(long long ns)
{
    if (ns < 0)
        ns = 0;
    return (struct timespec){.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};
}

static long long kernel_ns(clockid_t clock)
{
    struct timespec time;
    syscall(SYS_clock_gettime, clock, &time);
    return in_ns(&time);
}

static long long fast_ns(clockid_t clock)
{
    long long begin = *begin_of(clock);
    return begin + (long long)((kernel_ns(clock) - begin) * speed);
}

/* The raw clock, which differs from the monotonic one by the corrections of its rate, is given as that one. */
static clockid_t waited_for(clockid_t clock)
{
    return begin_of(clock) == &from_monotonic ? CLOCK_MONOTONIC : begin_of(clock) == &from_realtime ? CLOCK_REALTIME : clock;
}

static long long shortened(long long ns)
{
    return ns <= 0 ? ns : (long long)(ns / speed) + 1;
}

/* An instant of a fast clock, as the kernel's clock will show it. */
static struct timespec kernel_instant(clockid_t clock, const struct timespec *instant)
{
    return of_ns(kernel_ns(clock) + shortened(in_ns(instant) - fast_ns(clock)));
}

static int shortened_ms(int ms)
{
    read_variable();
    return ms <= 0 ? ms : (int)((shortened(ms * 1000000LL) + 999999) / 1000000);
}

static struct timespec shortened_time(const struct timespec *time)
{
    read_variable();
    return of_ns(shortened(in_ns(time)));
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (!begin_of(clock))
        return (int)syscall(SYS_clock_gettime, clock, time);
    *time = of_ns(fast_ns(waited_for(clock)));
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    (void)zone;
    long long ns = fast_ns(CLOCK_REALTIME);
    *time = (struct timeval){.tv_sec = ns / SECOND_NS, .tv_usec = ns % SECOND_NS / 1000};
    return 0;
}

time_t time(time_t *seconds)
{
    time_t now = fast_ns(CLOCK_REALTIME) / SECOND_NS;
    if (seconds)
        *seconds = now;
    return now;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *asked, struct timespec *left)
{
    if (!begin_of(clock))
        return NEXT(clock_nanosleep)(clock, flags, asked, left);
    struct timespec wait = flags & TIMER_ABSTIME ? kernel_instant(clock, asked) : shortened_time(asked);
    int error = NEXT(clock_nanosleep)(clock, flags, &wait, left);
    if (error == EINTR && left && !(flags & TIMER_ABSTIME))
        *left = of_ns((long long)(in_ns(left) * speed));
    return error;
}

int nanosleep(const struct timespec *asked, struct timespec *left)
{
    int error = clock_nanosleep(CLOCK_MONOTONIC, 0, asked, left);
    if (error)
        errno = error;
    return error ? -1 : 0;
}

int poll(struct pollfd *files, nfds_t count, int ms)
{
    return NEXT(poll)(files, count, shortened_ms(ms));
}

int ppoll(struct pollfd *files, nfds_t count, const struct timespec *asked, const sigset_t *signals)
{
    struct timespec wait = asked ? shortened_time(asked) : of_ns(0);
    return NEXT(ppoll)(files, count, asked ? &wait : NULL, signals);
}

int epoll_wait(int epoll, struct epoll_event *events, int count, int ms)
{
    return NEXT(epoll_wait)(epoll, events, count, shortened_ms(ms));
}

int epoll_pwait(int epoll, struct epoll_event *events, int count, int ms, const sigset_t *signals)
{
    return NEXT(epoll_pwait)(epoll, events, count, shortened_ms(ms), signals);
}

int select(int count, fd_set *read, fd_set *write, fd_set *other, struct timeval *asked)
{
    if (!asked)
        return NEXT(select)(count, read, write, other, NULL);
    struct timespec whole = {.tv_sec = asked->tv_sec, .tv_nsec = asked->tv_usec * 1000};
    struct timespec wait = shortened_time(&whole);
    struct timeval left = {.tv_sec = wait.tv_sec, .tv_usec = (wait.tv_nsec + 999) / 1000};
    int found = NEXT(select)(count, read, write, other, &left);
    long long left_us = (long long)((left.tv_sec * 1000000LL + left.tv_usec) * speed);
    *asked = (struct timeval){.tv_sec = left_us / 1000000, .tv_usec = left_us % 1000000};
    return found;
}

int pselect(int count, fd_set *read, fd_set *write, fd_set *other, const struct timespec *asked, const sigset_t *signals)
{
    struct timespec wait = asked ? shortened_time(asked) : of_ns(0);
    return NEXT(pselect)(count, read, write, other, asked ? &wait : NULL, signals);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    struct timespec instant = kernel_instant(CLOCK_REALTIME, until);
    return NEXT(sem_timedwait)(semaphore, &instant);
}

int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until)
{
    struct timespec instant = kernel_instant(clock, until);
    return NEXT(sem_clockwait)(semaphore, clock, &instant);
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    /* The condition's clock is not told: an instant of it is near its present. */
    long long from_now = llabs(in_ns(until) - fast_ns(CLOCK_REALTIME));
    clockid_t clock = from_now < llabs(in_ns(until) - fast_ns(CLOCK_MONOTONIC)) ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    struct timespec instant = kernel_instant(clock, until);
    return NEXT(pthread_cond_timedwait)(condition, mutex, &instant);
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
    struct timespec instant = kernel_instant(clock, until);
    return NEXT(pthread_cond_clockwait)(condition, mutex, clock, &instant);
}
