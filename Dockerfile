# One image for web, workers and the clock; compose.yaml says which of them a container is.
FROM python:3.11-slim

# Arguments for pip, such as --find-links with torch's CPU wheel where no GPU is.
ARG PIP_ARGUMENTS=""

ENV PYTHONUNBUFFERED=1 \
    TOUCHSTONE_ENV=production \
    DATA_DIR=/data \
    STATIC_ROOT=/srv/touchstone/staticfiles

WORKDIR /srv/touchstone
COPY requirements.txt .
RUN pip install --no-cache-dir --prefer-binary $PIP_ARGUMENTS -r requirements.txt
COPY manage.py pyproject.toml CHANGELOG.md LICENSE ./
COPY feedback feedback
COPY trainer trainer
COPY workers workers

# Static files need settings to be read, not real ones.
RUN SECRET_KEY=unused ALLOWED_HOSTS=unused python manage.py collectstatic --noinput \
 && useradd --system --uid 10001 touchstone \
 && mkdir /data \
 && chown touchstone /data
USER touchstone
VOLUME /data
EXPOSE 8000
CMD ["gunicorn", "--config", "python:feedback.runtime.gunicorn_config", "--bind", "0.0.0.0:8000"]
