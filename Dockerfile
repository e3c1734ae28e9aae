# docker build -t lineament .
# docker run --read-only --cap-drop ALL -p 127.0.0.1:8000:8000 -e LINEAMENT_TOKEN=... lineament
FROM python:3.12-slim AS build
COPY . /source
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir '/source[serve]'

FROM python:3.12-slim
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 LINEAMENT_HOST=0.0.0.0
# any number above zero: the server needs no home and writes no file
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.getenv('LINEAMENT_PORT', '8000') + '/health/live')"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["lineament", "serve"]
