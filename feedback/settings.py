"""Every knob of the service, read from the environment (or `NAME_FILE` for secrets); a bad value is refused at start.

`TOUCHSTONE_ENV=production` asks for what production needs (a secret key, host names) and switches the secure defaults
on; anything else is a laptop: SQLite, an embedded Valkey on a unix socket, files under `data/`.
"""

import hashlib
import os
import secrets
import tempfile
from pathlib import Path

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from feedback.rules.training import launches
from feedback.runtime.environment import env_bool, env_int, env_list, env_secret, env_str

BASE_DIR = Path(__file__).resolve().parent.parent
ENVIRONMENT = env_str("TOUCHSTONE_ENV", "laptop")
if ENVIRONMENT not in ("laptop", "production"):
    raise ImproperlyConfigured(f"TOUCHSTONE_ENV is {ENVIRONMENT!r}; it must be 'laptop' or 'production'.")
PRODUCTION = ENVIRONMENT == "production"
DEBUG = env_bool("DEBUG", False)
if DEBUG and PRODUCTION:
    raise ImproperlyConfigured("DEBUG must be off when TOUCHSTONE_ENV is production.")

# Files: snapshots, run folders, models, logs. The database stores paths relative to this folder.
DATA_DIR = Path(env_str("DATA_DIR", str(BASE_DIR / "data"))).resolve()
# Where models from elsewhere may be taken from, beside DATA_DIR/models.
MODEL_FOLDERS = [Path(folder).resolve() for folder in env_str("MODEL_FOLDERS", "").split(",") if folder.strip()]


def _laptop_secret_key() -> str:
    """A secret made on first start and kept in DATA_DIR, so that sessions outlive a restart."""
    path = DATA_DIR / "secret_key"
    if not path.exists():
        DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)  # others on this machine are no members
        part = path.with_name(f"secret_key.{os.getpid()}")
        part.write_text(secrets.token_urlsafe(50))
        part.chmod(0o600)
        try:
            os.link(part, path)  # fails if another first start was quicker: its secret is the one
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_text().strip()


SECRET_KEY = env_secret("SECRET_KEY", "")
if not SECRET_KEY:
    if PRODUCTION:
        raise ImproperlyConfigured("SECRET_KEY (or SECRET_KEY_FILE) must be set when TOUCHSTONE_ENV is production.")
    try:
        SECRET_KEY = _laptop_secret_key()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {DATA_DIR} cannot be written ({error.strerror}). Set DATA_DIR to one that can."
        ) from None

PORT = env_int("PORT", 8000, low=1, high=65535)
BIND = env_str("BIND", "127.0.0.1")  # the address `manage.py up` listens on: by default this machine alone
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", [] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]"])
if PRODUCTION and not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS must name the host when TOUCHSTONE_ENV is production.")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS", [])
# How many proxies of ours stand in front. Only what they wrote at the end of X-Forwarded-For tells who calls; with none
# the header is a caller's own invention.
TRUSTED_PROXIES = env_int("TRUSTED_PROXIES", 0, low=0)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
    "allauth",
    "allauth.account",
    "rest_framework",
    "drf_standardized_errors",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "feedback",
    "workers",
]

MIDDLEWARE = [
    "feedback.web.middleware.AroundEveryRequest",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "feedback.web.upload_limits.RefuseLongBodies",
    "feedback.web.middleware.LimitPages",
    "feedback.web.middleware.PageMessages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "feedback.web.middleware.PageHtmx",
    "feedback.web.errors.DomainErrorMiddleware",
    "feedback.web.middleware.ChangeGeneratedPassword",
]

ROOT_URLCONF = "feedback.urls"
WSGI_APPLICATION = "feedback.wsgi.application"
AUTH_USER_MODEL = "feedback.Person"
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign_in"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]

# --- accounts ----------------------------------------------------------------------------------
ACCOUNT_ADAPTER = "feedback.web.platform.account_adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # whoever opens a link that was e-mailed has shown that the address is theirs
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
INVITATION_DAYS = env_int("INVITATION_DAYS", 7, low=1, high=90)
RESET_HOURS = env_int("RESET_HOURS", 24, low=1, high=720)
# Where people reach the service. Links in e-mails begin with it: a request's Host is its sender's own invention.
PUBLIC_URL = env_str("PUBLIC_URL", "").rstrip("/")
if PUBLIC_URL and not PUBLIC_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured(f"PUBLIC_URL is {PUBLIC_URL!r}; it must begin with https:// or http://.")
EMAIL_HOST = env_str("EMAIL_HOST", "")  # without an SMTP server, links are shown to be copied
EMAIL_PORT = env_int("EMAIL_PORT", 25, low=1, high=65535)
EMAIL_HOST_USER = env_str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env_secret("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env_bool("EMAIL_USE_TLS", False)
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = env_str("EMAIL_FROM", "Touchstone <touchstone@localhost>")
if EMAIL_HOST and not PUBLIC_URL:
    raise ImproperlyConfigured(
        "EMAIL_HOST is set, so PUBLIC_URL must name the address that links in e-mails begin with."
    )

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "feedback.web.platform.page_context.page_context",
            ],
        },
    },
]

# --- database --------------------------------------------------------------------------------
# SQLite: WAL so that readers never wait, IMMEDIATE so that a transaction takes the write lock at its start instead of
# failing half way. No ATOMIC_REQUESTS: under IMMEDIATE every request would take the write lock.
DATABASE_URL = env_secret("DATABASE_URL", "")
if DATABASE_URL:
    DATABASES = {"default": dj_database_url.parse(DATABASE_URL, conn_max_age=600, conn_health_checks=True)}
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATA_DIR / "touchstone.sqlite3")}}
COMPILED_QUERIES = env_bool("COMPILED_QUERIES", True)  # false: `feedback.db.compiled_queries` goes through the ORM
if DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # The statements of feedback.db.compiled_queries keep their plans in the connection.
    prepares = env_bool("DATABASE_PREPARES", True)
    DATABASES["default"].setdefault("OPTIONS", {})["prepare_threshold"] = 0 if prepares else None
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["ENGINE"] = "feedback.db.sqlite"  # Django's, with writers who take turns
    DATABASES["default"]["CONN_MAX_AGE"] = 600
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
    }
    # Tests run on a file as well: an in-memory database shared by threads has other locks than the real one.
    DATABASES["default"]["TEST"] = {"NAME": str(Path(tempfile.gettempdir()) / f"touchstone-test-{os.getpid()}.sqlite3")}

# In each process: what is remembered here is only a saving (`feedback.services.platform.allowance` is what processes
# share).
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}

# --- broker ----------------------------------------------------------------------------------


def _socket_path() -> Path:
    """Where the embedded Valkey listens. A unix socket's path may hold about 100 bytes, so a deep DATA_DIR moves it."""
    path = DATA_DIR / "run" / "broker.sock"
    if len(str(path)) < 100:
        return path
    digest = hashlib.sha256(str(DATA_DIR).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"touchstone-{os.getuid()}-{digest}" / "broker.sock"


REDIS_URL = env_secret("REDIS_URL", "")
EMBEDDED_BROKER = not REDIS_URL
BROKER_SOCKET = _socket_path()
CELERY_BROKER_URL = REDIS_URL or f"redis+socket://{BROKER_SOCKET}"
STREAM_URL = REDIS_URL or f"unix://{BROKER_SOCKET}"
CELERY_RESULT_BACKEND = None  # the row is the job: results live in the database
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False  # a lost message is knocked again from the row
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 5, "max_retries": 1}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # keeps nothing: what is due is decided by rows
CELERY_BEAT_MAX_LOOP_INTERVAL = 5

# --- jobs (seconds) --------------------------------------------------------------------------
BEAT_SECONDS = 5  # a running job's sign of life
SILENT_SECONDS = 30  # after this long without one, the job is queued again or failed
SWEEP_SECONDS = env_int("SWEEP_SECONDS", 10, low=1)  # how often housekeeping looks
# How this worker's trainers are started: one process each, or several (`launches` says which ways there are).
TRAINER_LAUNCH = env_str("TRAINER_LAUNCH", "")
TRAINER_PROCESSES = env_int("TRAINER_PROCESSES", 1, low=1, high=64)
if TRAINER_LAUNCH not in launches.LAUNCHES:
    known = ", ".join(name for name in launches.LAUNCHES if name)
    raise ImproperlyConfigured(f"TRAINER_LAUNCH is {TRAINER_LAUNCH!r}; it must be empty or one of {known}.")
# A job that takes no step for so long, or leaves no other thread of its process room to run, hangs: its process is
# ended and the job counts as lost. What is known to take long in one step says so (`Work.long_step`).
JOB_STUCK_SECONDS = env_int("JOB_STUCK_SECONDS", 300, low=5)
CANCEL_SECONDS = 10  # from the moment a job is ordered to stop to the end of the process that it does not leave
CANCEL_GRACE_SECONDS = 4  # from SIGTERM to SIGKILL for a canceled trainer: with a beat before it, gone within 10

# --- queue of tasks (seconds) ------------------------------------------------------------------
LEASE_SECONDS = env_int("LEASE_SECONDS", 600, low=1)
LEASE_AHEAD_SECONDS = env_int("LEASE_AHEAD_SECONDS", 180, low=1)
IDEMPOTENCY_DAYS = 30

# --- generation -------------------------------------------------------------------------------
# An OpenAI-compatible server that generates responses instead of the local model, when given.
GENERATION_URL = env_str("GENERATION_URL", "")
GENERATION_MODEL = env_str("GENERATION_MODEL", "")
GENERATION_API_KEY = env_secret("GENERATION_API_KEY", "")
# Responses read while they are written, at once in one web process: each holds one of its WEB_THREADS.
LIVE_STREAMS = env_int("LIVE_STREAMS", 6, low=1, high=200)

# --- REST -------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "feedback.api.authentication.BearerAuthentication",
        "feedback.api.authentication.PageSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["feedback.api.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "feedback.api.negotiation.Negotiation",
    "DEFAULT_PAGINATION_CLASS": "feedback.api.pagination.NewestFirst",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "drf_standardized_errors.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,  # the schema says what a door takes; OPTIONS is refused like any other method
    "EXCEPTION_HANDLER": "feedback.api.errors.exception_handler",
    "DEFAULT_THROTTLE_CLASSES": ["feedback.api.throttling.ByPerson", "feedback.api.throttling.ByAddress"],
    "ENFORCE_NON_BLANK_FIELDS": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
THROTTLE_TOKEN = env_str("THROTTLE_TOKEN", "6000/min")  # a person's requests
THROTTLE_ADDRESS = env_str("THROTTLE_ADDRESS", "60/min")  # those of an address without one
# Of a processor, in a minute, for one person; all unknown callers at an address get a quarter of that.
THROTTLE_CPU_SECONDS = env_int("THROTTLE_CPU_SECONDS", 40, low=1)
SIGN_IN_ATTEMPTS_PER_MINUTE = env_int("SIGN_IN_ATTEMPTS_PER_MINUTE", 10, low=1)

SPECTACULAR_SETTINGS = {
    "TITLE": "Touchstone",
    "DESCRIPTION": "Prompts, responses, tasks, annotations, preference data, training runs and models.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "ENUM_NAME_OVERRIDES": {
        "CampaignRoundDecision": "feedback.models.CampaignRound.Decision",
        "CampaignRoundState": "feedback.models.CampaignRound.State",
        "CampaignState": "feedback.models.Campaign.State",
        "ChainState": "feedback.models.pipelines.Chain.State",
        "ContestDecision": "feedback.models.evaluation.contests.Contest.Decision",
        "ContestState": "feedback.models.evaluation.contests.Contest.State",
        "DecisionEnum": "feedback.models.Review.Decision",
        "DocumentKind": "feedback.models.corpora.Document.Kind",
        "JobKind": "feedback.models.jobs.Job.Kind",
        "JobStatus": "feedback.models.jobs.Job.Status",
        "MemberRole": "feedback.models.projects.Membership.Role",
        "ModelDecision": "feedback.api.registry.model_versions.DECISION_CHOICES",
        "ModelKind": "feedback.models.model_versions.ModelVersion.Kind",
        "ModelState": "feedback.models.model_versions.ModelVersion.State",
        "PersonStatus": "feedback.models.people.Person.Status",
        "ProjectState": "feedback.models.projects.Project.State",
        "PromptState": "feedback.models.prompts.Prompt.State",
        "ResponseState": "feedback.models.prompts.Response.State",
        "SnapshotState": "feedback.models.snapshots.DatasetSnapshot.State",
        "Stage": "feedback.models.pipelines.Stage",
        "SnapshotWeighing": "feedback.rules.quality.reliability_weights.WEIGHINGS",
        "TaskKind": "feedback.models.tasks.Kind",
        "TaskState": "feedback.models.tasks.Task.State",
    },
}
DRF_STANDARDIZED_ERRORS = {"ALLOWED_ERROR_STATUS_CODES": ["400", "401", "403", "404", "409", "429"]}

# --- static files and pages -------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = Path(env_str("STATIC_ROOT", str(BASE_DIR / "staticfiles")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = not PRODUCTION
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "manifest-src": ["'self'"],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
if PRODUCTION:
    SECURE_SSL_REDIRECT = env_bool("SECURE_SSL_REDIRECT", True)
    if TRUSTED_PROXIES:  # without a proxy of ours the header is a caller's own invention
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = env_int("SECURE_HSTS_SECONDS", 31536000, low=0)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
MAX_UPLOAD_BYTES = env_int("MAX_UPLOAD_MB", 2048, low=1) * 1024 * 1024  # a file for an import or a corpus
# Who brings this token reads /metrics; on METRICS_BIND (`http_worker`) it is read without one.
METRICS_TOKEN = env_secret("METRICS_TOKEN", "")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env_str("LOG_LEVEL", "INFO")},
    # Whoever requests what is not there, or under a wrong name, learns so; the log would be theirs to fill.
    "loggers": {"django.request": {"level": "ERROR"}, "django.security.DisallowedHost": {"level": "CRITICAL"}},
}
