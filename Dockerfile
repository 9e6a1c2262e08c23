# One image for the web and the recorder. Needs nothing of the network at run time but the database and the providers.
FROM python:3.11-slim AS build
WORKDIR /app
COPY requirements.txt ./
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY manage.py ./
COPY llmhub llmhub
COPY adapters adapters
COPY registry registry
COPY templates templates
COPY static static
# Static files are hashed and compressed once, here; no key and no database is needed for it.
RUN LLMHUB_STATIC_ROOT=/app/staticfiles .venv/bin/python manage.py collectstatic --no-input --verbosity 0

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin llmhub \
    && install -d -o llmhub -g llmhub -m 0700 /data
WORKDIR /app
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 LLMHUB_DATA_DIR=/data LLMHUB_STATIC_ROOT=/app/staticfiles
USER llmhub
VOLUME /data
EXPOSE 8000
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0", "--port", "8000"]
