/* A video device for the tests, put under FFmpeg by LD_PRELOAD: /dev/video0 as the kernel's V4L2 shows it.
 *
 * FAKE_VIDEO_FRAME: the file of one picture, given 25 times a second. FAKE_VIDEO_FORMAT: the pixel format as four
 * characters, MJPG or YUYV, of 320x240; the device gives no other, as a real one that is asked for another. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BUFFER (1 << 20)
#define BUFFERS 8

static int device = -1, queue[BUFFERS], first, count, size;
static char *frame, *buffers[BUFFERS];

static uint32_t format(void) {
    const char *f = getenv("FAKE_VIDEO_FORMAT");
    return v4l2_fourcc(f[0], f[1], f[2], f[3]);
}

static int begin(void) {
    FILE *file = fopen(getenv("FAKE_VIDEO_FRAME"), "rb");
    frame = malloc(BUFFER);
    size = fread(frame, 1, BUFFER, file);
    fclose(file);
    return device = timerfd_create(CLOCK_MONOTONIC, 0);
}

static int real_open(const char *path, int flags, mode_t mode) {
    static int (*next)(const char *, int, ...);
    if (!next) next = dlsym(RTLD_NEXT, "open64");
    return strcmp(path, "/dev/video0") ? next(path, flags, mode) : begin();
}

#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, int); va_end(more); \
    return real_open(path, flags, mode); }
OPEN(open)
OPEN(open64)

int __open_2(const char *path, int flags) { return real_open(path, flags, 0); }
int __open64_2(const char *path, int flags) { return real_open(path, flags, 0); }

/* A timer is no device; FFmpeg maps the buffers of one by their offset. */
static void *map(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    static void *(*next)(void *, size_t, int, int, int, off_t);
    if (!next) next = dlsym(RTLD_NEXT, "mmap64");
    if (fd < 0 || fd != device) return next(at, length, protection, flags, fd, offset);
    return buffers[offset / BUFFER] = next(0, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void *mmap(void *a, size_t l, int p, int f, int fd, off_t o) { return map(a, l, p, f, fd, o); }
void *mmap64(void *a, size_t l, int p, int f, int fd, off_t o) { return map(a, l, p, f, fd, o); }

static int give(struct v4l2_buffer *buffer) {
    uint64_t ticks;
    if (!count || read(device, &ticks, sizeof ticks) != sizeof ticks) { errno = EAGAIN; return -1; }
    int index = queue[first];
    first = (first + 1) % BUFFERS, count--;
    memcpy(buffers[index], frame, size);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    buffer->index = index, buffer->bytesused = size, buffer->length = BUFFER;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->timestamp.tv_sec = now.tv_sec, buffer->timestamp.tv_usec = now.tv_nsec / 1000;
    return 0;
}

static int answer(unsigned request, void *data) {
    struct itimerspec every = {{0, 40000000}, {0, 40000000}};
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *it = data;
        memset(it, 0, sizeof *it);
        it->capabilities = it->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    }
    case VIDIOC_ENUMINPUT:
        ((struct v4l2_input *)data)->std = 0;
        return ((struct v4l2_input *)data)->index ? (errno = EINVAL, -1) : 0;
    case VIDIOC_G_INPUT: *(int *)data = 0; return 0;
    case VIDIOC_S_INPUT: return 0;
    case VIDIOC_ENUM_FMT:
        if (((struct v4l2_fmtdesc *)data)->index) break;
        ((struct v4l2_fmtdesc *)data)->pixelformat = format();
        return 0;
    case VIDIOC_G_FMT: case VIDIOC_S_FMT: {
        struct v4l2_pix_format *it = &((struct v4l2_format *)data)->fmt.pix;
        it->width = 320, it->height = 240, it->pixelformat = format(), it->field = V4L2_FIELD_NONE;
        it->bytesperline = 640, it->sizeimage = format() == V4L2_PIX_FMT_YUYV ? 320 * 240 * 2 : BUFFER;
        return 0;
    }
    case VIDIOC_G_PARM: case VIDIOC_S_PARM: {
        struct v4l2_captureparm *it = &((struct v4l2_streamparm *)data)->parm.capture;
        it->capability = V4L2_CAP_TIMEPERFRAME, it->timeperframe.numerator = 1, it->timeperframe.denominator = 25;
        return 0;
    }
    case VIDIOC_REQBUFS:
        if (((struct v4l2_requestbuffers *)data)->count > BUFFERS) ((struct v4l2_requestbuffers *)data)->count = BUFFERS;
        return 0;
    case VIDIOC_QUERYBUF:
        ((struct v4l2_buffer *)data)->length = BUFFER;
        ((struct v4l2_buffer *)data)->m.offset = ((struct v4l2_buffer *)data)->index * BUFFER;
        return 0;
    case VIDIOC_QBUF: queue[(first + count++) % BUFFERS] = ((struct v4l2_buffer *)data)->index; return 0;
    case VIDIOC_DQBUF: return give(data);
    case VIDIOC_STREAMON: return timerfd_settime(device, 0, &every, 0);
    case VIDIOC_STREAMOFF: return 0;
    }
    errno = EINVAL;
    return -1;
}

int ioctl(int fd, unsigned long request, ...) {
    static int (*next)(int, unsigned long, ...);
    va_list more;
    va_start(more, request);
    void *data = va_arg(more, void *);
    va_end(more);
    if (!next) next = dlsym(RTLD_NEXT, "ioctl");
    return fd >= 0 && fd == device ? answer(request, data) : next(fd, request, data);
}
