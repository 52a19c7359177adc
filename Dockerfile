# The server in a container: `docker build -t mediastream .`, then docs/run.md. All state lies under /data.

FROM python:3.13-slim AS packages
WORKDIR /app
COPY requirements.txt ./
COPY script/lib script/
# The set-up script's own step, at the path where the server runs: script/server then finds it done.
RUN bash -c '. script/lib && requirements requirements.txt'

FROM python:3.13-slim
# A fixed number, so that the owner of a mounted data folder can be set from outside.
RUN groupadd --gid 10001 mediastream \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin mediastream \
    && install -d -o mediastream -g mediastream /data
WORKDIR /app
COPY --from=packages /app/.venv .venv
COPY . .
RUN .venv/bin/python -m compileall -q manage.py media_library mediastream transcode

# FFmpeg is the one inside imageio-ffmpeg; setpriv and prlimit are Debian's util-linux, which the image has.
ENV HOST=0.0.0.0 PORT=8000 MEDIASTREAM_DATA_DIR=/data PYTHONUNBUFFERED=1
USER 10001:10001
VOLUME /data
EXPOSE 8000
# The first start makes demo clips before it listens.
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s --retries=3 CMD [".venv/bin/python", "-c", \
    "import os, urllib.request as r; r.urlopen(r.Request('http://127.0.0.1:' + os.environ['PORT'] + '/healthz/ready', headers={'Host': 'localhost'}), timeout=4)"]
# It ends by exec: gunicorn becomes process 1, which gets the SIGTERM of `docker stop`.
CMD ["/app/script/server"]
