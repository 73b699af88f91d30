# The demo in a container that holds nothing else, and may write nowhere but /tmp, in memory:
#
#   docker build -t agegenderemo .
#   docker run --rm -p 7860:7860 --read-only --tmpfs /tmp:size=2g --memory 3g \
#       --cap-drop ALL --security-opt no-new-privileges agegenderemo
FROM python:3.11.14-slim-bookworm

WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY app.py ./
COPY agegenderemo ./agegenderemo
COPY checkpoints ./checkpoints
COPY examples ./examples
RUN python -m compileall -q app.py agegenderemo

# A number that is nobody: no name, no home, and it owns no file.
USER 10001:10001
ENV PYTHONUNBUFFERED=1
EXPOSE 7860
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/healthz', timeout=5)"]
ENTRYPOINT ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
