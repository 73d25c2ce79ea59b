"""The schema as migration 0024 left it, in one step for new databases.

The 24 migrations that it replaces stay: a database that stands at one of them goes on along the old chain, which also
moves the rows that are there. This one moves none, since a new database has none. `tests/db/test_upgrade.py` holds both
ways to the same schema. Indexes and constraints stand with their table, because SQLite would otherwise write the table
anew for each constraint.
"""

import uuid

import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models

import feedback.models.projects


class Migration(migrations.Migration):
    replaces = [
        ("feedback", "0001_initial"),
        ("feedback", "0002_task_kinds"),
        ("feedback", "0003_stages_and_kinds"),
        ("feedback", "0004_queue_policy"),
        ("feedback", "0005_conversation"),
        ("feedback", "0006_corpora"),
        ("feedback", "0007_preflight"),
        ("feedback", "0008_guard"),
        ("feedback", "0009_waiting_prompts"),
        ("feedback", "0010_lean_indexes"),
        ("feedback", "0011_extremes_of_a_point"),
        ("feedback", "0012_deployment_override_reason"),
        ("feedback", "0013_exclusions_and_annotation_marks"),
        ("feedback", "0014_annotations_timed_at_the_desk"),
        ("feedback", "0015_groups_and_families"),
        ("feedback", "0016_keys_of_old_families"),
        ("feedback", "0017_job_queued_at"),
        ("feedback", "0018_prompt_provenance"),
        ("feedback", "0019_provenance_out_of_metadata"),
        ("feedback", "0020_look_before_chains"),
        ("feedback", "0021_blindness"),
        ("feedback", "0022_error_codes_and_renames"),
        ("feedback", "0023_drop_bootstrap_of_evaluation"),
        ("feedback", "0024_site_admin"),
    ]

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Person",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("username", models.CharField(blank=True, max_length=150, null=True, unique=True)),
                ("display_name", models.CharField(blank=True, max_length=150)),
                ("email", models.EmailField(blank=True, max_length=254)),
                (
                    "status",
                    models.CharField(
                        choices=[("active", "Active"), ("suspended", "Suspended"), ("withdrawn", "Withdrawn")],
                        default="active",
                        max_length=16,
                    ),
                ),
                (
                    "source",
                    models.CharField(blank=True, help_text="Where an imported person is known from.", max_length=100),
                ),
                ("external_name", models.CharField(blank=True, max_length=200)),
                (
                    "is_site_admin",
                    models.BooleanField(default=False, help_text="May open projects and sees all of them."),
                ),
            ],
            options={
                "verbose_name_plural": "people",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("username__isnull", True)),
                        fields=("source", "external_name"),
                        name="one_imported_person_per_source_and_name",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("username__isnull", False), models.Q(("external_name", ""), _negated=True), _connector="OR"
                        ),
                        name="person_has_a_login_or_an_origin",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="KeptTokenizer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sha256", models.CharField(max_length=64, unique=True)),
                ("text", models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name="Project",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("name", models.CharField(max_length=120)),
                ("slug", models.SlugField(max_length=60, unique=True)),
                ("description", models.TextField(blank=True)),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "Open"), ("paused", "Paused"), ("closed", "Closed")],
                        default="open",
                        max_length=16,
                    ),
                ),
                ("kinds", models.JSONField(default=list, help_text="Task kinds that this project gives out.")),
                ("label_scheme", models.JSONField(blank=True, default=dict)),
                (
                    "dimensions",
                    models.JSONField(blank=True, default=list, help_text="Asked per comparison, such as helpful."),
                ),
                ("asks_reason", models.BooleanField(default=False)),
                (
                    "number_sends",
                    models.BooleanField(default=False, help_text="A number key sends the answer at once."),
                ),
                ("annotations_per_task", models.PositiveSmallIntegerField(default=1)),
                ("responses_per_prompt", models.PositiveSmallIntegerField(default=2)),
                (
                    "split_salt",
                    models.CharField(default=feedback.models.projects.new_salt, editable=False, max_length=64),
                ),
                (
                    "sampling",
                    models.JSONField(
                        blank=True, default=dict, help_text="Temperature and length of generated responses."
                    ),
                ),
                (
                    "training_policy",
                    models.JSONField(blank=True, default=dict, help_text="Preset and settings of its stages."),
                ),
                (
                    "queue_epoch",
                    models.PositiveIntegerField(
                        default=0, help_text="Rises when cursors must look from the start again."
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "queue_policy",
                    models.JSONField(blank=True, default=dict, help_text="Who is given what: rules.queue_policy."),
                ),
                (
                    "completions_make_tasks",
                    models.BooleanField(
                        default=False,
                        help_text="What clients ask over /v1/chat/completions is answered twice and becomes tasks.",
                    ),
                ),
                (
                    "screening",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Guard, marker, and what becomes of personal data: rules.screening.",
                    ),
                ),
                (
                    "renames",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Earlier names of labels (by scheme) and dimensions: rules.renames.",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("annotations_per_task__gte", 1)), name="at_least_one_annotation_per_task"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="IdempotencyRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("route", models.CharField(max_length=200)),
                ("key", models.CharField(max_length=200)),
                ("body_hash", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("reply", models.JSONField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True, db_index=True)),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("person", "route", "key"), name="one_reply_per_idempotency_key")
                ],
            },
        ),
        migrations.CreateModel(
            name="Corpus",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("name", models.CharField(max_length=120)),
                ("description", models.TextField(blank=True)),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="corpora", to="feedback.project"
                    ),
                ),
                (
                    "hold_out",
                    models.CharField(
                        choices=[("share", "Share"), ("last_tenth", "Last Tenth")], default="share", max_length=16
                    ),
                ),
                (
                    "report",
                    models.JSONField(
                        blank=True, default=dict, help_text="Its diversity, as the last report job found it."
                    ),
                ),
                ("reported_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name_plural": "corpora",
                "constraints": [models.UniqueConstraint(fields=("project", "name"), name="one_corpus_per_name")],
            },
        ),
        migrations.CreateModel(
            name="GuidelineVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("number", models.PositiveIntegerField()),
                ("text", models.TextField()),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="guidelines", to="feedback.project"
                    ),
                ),
            ],
            options={
                "ordering": ["-number"],
                "constraints": [
                    models.UniqueConstraint(fields=("project", "number"), name="one_guideline_version_per_number")
                ],
            },
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("training", "Training"),
                            ("generation", "Generation"),
                            ("freeze", "Freeze"),
                            ("corpus", "Corpus"),
                            ("import", "Import"),
                            ("export", "Export"),
                            ("preflight", "Preflight"),
                            ("score", "Score"),
                            ("adopt", "Adopt"),
                        ],
                        max_length=16,
                    ),
                ),
                ("queue", models.CharField(max_length=16)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="queued",
                        max_length=16,
                    ),
                ),
                ("payload", models.JSONField(blank=True, default=dict)),
                ("result", models.JSONField(blank=True, default=dict)),
                (
                    "attempt",
                    models.PositiveIntegerField(
                        default=0, help_text="Counts the claims; an older attempt's writes are refused."
                    ),
                ),
                (
                    "losses",
                    models.PositiveIntegerField(
                        default=0, help_text="How often its worker went silent since the last (re)start."
                    ),
                ),
                ("max_losses", models.PositiveIntegerField(default=5)),
                ("worker", models.CharField(blank=True, max_length=200)),
                ("knocked_at", models.DateTimeField(blank=True, null=True)),
                ("heartbeat_at", models.DateTimeField(blank=True, null=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("cancel_requested_at", models.DateTimeField(blank=True, null=True)),
                ("step", models.PositiveIntegerField(default=0)),
                ("steps", models.PositiveIntegerField(default=0)),
                ("progress_text", models.CharField(blank=True, max_length=300)),
                (
                    "error_kind",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("data", "Data"),
                            ("config", "Config"),
                            ("out_of_memory", "Out Of Memory"),
                            ("disk_full", "Disk Full"),
                            ("diverged", "Diverged"),
                            ("lost_worker", "Lost Worker"),
                            ("internal", "Internal"),
                        ],
                        max_length=16,
                    ),
                ),
                ("error", models.TextField(blank=True)),
                ("remedy", models.TextField(blank=True)),
                ("log_tail", models.TextField(blank=True)),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="jobs",
                        to="feedback.project",
                    ),
                ),
                (
                    "queued_at",
                    models.DateTimeField(blank=True, help_text="Since when it waits, or waited last.", null=True),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("status__in", ["queued", "running"])),
                        fields=["status", "queue"],
                        name="job_active",
                    ),
                    models.Index(fields=["project", "-id"], name="job_newest_first"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("verb", models.CharField(max_length=60)),
                ("object_type", models.CharField(max_length=40)),
                ("object_id", models.CharField(max_length=40)),
                ("data", models.JSONField(blank=True, default=dict)),
                (
                    "actor",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="feedback.project",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["project", "-id"], name="event_newest_first")],
            },
        ),
        migrations.CreateModel(
            name="Conversation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("person", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL)),
                ("project", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="feedback.project")),
                ("ended_at", models.DateTimeField(blank=True, help_text="Empty: it goes on.", null=True)),
            ],
            options={
                "abstract": False,
                "indexes": [models.Index(fields=["project", "person", "-id"], name="conversation_newest_first")],
            },
        ),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("name", models.CharField(max_length=100)),
                ("prefix", models.CharField(help_text="The first characters, to tell tokens apart.", max_length=12)),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("scopes", models.JSONField(default=list)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tokens", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: all of the person's.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="feedback.project",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="QueueCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("queue_key", models.BigIntegerField(default=0)),
                ("epoch", models.PositiveIntegerField(default=0)),
                (
                    "annotator",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL),
                ),
                ("project", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="feedback.project")),
                ("check_last", models.BooleanField(default=False)),
                (
                    "given",
                    models.PositiveIntegerField(
                        default=0, help_text="Tasks given so far: who finds it changed looks again."
                    ),
                ),
                ("kind", models.CharField(blank=True, default="", max_length=16)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project", "annotator", "kind"), name="one_cursor_per_annotator_and_kind"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("name", models.CharField(max_length=120)),
                ("stages", models.JSONField()),
                ("every_seconds", models.PositiveIntegerField(blank=True, null=True)),
                ("after_pairs", models.PositiveIntegerField(blank=True, null=True)),
                ("config", models.JSONField(blank=True, default=dict)),
                (
                    "promote",
                    models.BooleanField(
                        default=False,
                        help_text="When a chain of it has ended, ask an admin to decide on the new policy.",
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                ("next_due_at", models.DateTimeField(blank=True, null=True)),
                ("pairs_at_last_start", models.PositiveIntegerField(default=0)),
                (
                    "trouble",
                    models.CharField(
                        blank=True, help_text="Why it could not start its chain when due.", max_length=500
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="schedules", to="feedback.project"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("after_pairs__isnull", True), ("every_seconds__isnull", False)),
                            models.Q(("after_pairs__isnull", False), ("every_seconds__isnull", True)),
                            _connector="OR",
                        ),
                        name="a_schedule_is_by_time_or_by_pairs",
                    ),
                    models.UniqueConstraint(fields=("project", "name"), name="one_schedule_per_name"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Exclusion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("reason", models.CharField(choices=[("pace", "Pace"), ("gold", "Gold")], max_length=16)),
                (
                    "hits",
                    models.PositiveIntegerField(
                        help_text="Annotations too fast, or gold tasks answered wrong, at the alarm."
                    ),
                ),
                ("looked_at", models.PositiveIntegerField(help_text="Annotations looked at until the alarm.")),
                ("round", models.PositiveIntegerField(default=1)),
                ("since", models.DateTimeField()),
                ("lifted_at", models.DateTimeField(blank=True, null=True)),
                (
                    "lifted_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="exclusions",
                        to="feedback.project",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("project", "person", "round"), name="one_exclusion_per_person_and_round"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("lifted_at__isnull", True)),
                        fields=("project", "person"),
                        name="one_active_exclusion_per_person",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="FamilyKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=64)),
                ("family", models.CharField(max_length=64)),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="feedback.project",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("project", "key"), name="one_family_per_key")],
            },
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "role",
                    models.CharField(
                        choices=[("annotator", "Annotator"), ("reviewer", "Reviewer"), ("admin", "Admin")],
                        max_length=16,
                    ),
                ),
                (
                    "guidelines_read",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="feedback.guidelineversion",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="memberships", to="feedback.project"
                    ),
                ),
                (
                    "daily_limit",
                    models.PositiveIntegerField(
                        blank=True, help_text="Answers a day; empty: the project's.", null=True
                    ),
                ),
                (
                    "qualified",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text='What they may do: {"kinds": […], "schemes": […]}; empty: all.',
                    ),
                ),
                ("trained_at", models.DateTimeField(blank=True, null=True)),
                (
                    "training",
                    models.CharField(
                        choices=[
                            ("needed", "Needed"),
                            ("passed", "Passed"),
                            ("failed", "Failed"),
                            ("waived", "Waived"),
                        ],
                        default="needed",
                        max_length=10,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("project", "person"), name="one_role_per_person_and_project")
                ],
            },
        ),
        migrations.CreateModel(
            name="DatasetSnapshot",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "purpose",
                    models.CharField(
                        choices=[("feedback", "Feedback"), ("corpus", "Corpus")], default="feedback", max_length=16
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("frozen", "Frozen"),
                            ("failed", "Failed"),
                            ("revoked", "Revoked"),
                        ],
                        default="draft",
                        max_length=16,
                    ),
                ),
                (
                    "policy",
                    models.JSONField(default=dict, help_text="Pairs: each or consensus; unsettled tasks; extras."),
                ),
                ("content_hash", models.CharField(blank=True, max_length=64)),
                ("manifest", models.JSONField(blank=True, default=dict)),
                ("manifest_sha256", models.CharField(blank=True, max_length=64)),
                ("path", models.CharField(blank=True, help_text="Relative to DATA_DIR.", max_length=300)),
                ("error", models.CharField(blank=True, max_length=500)),
                ("frozen_at", models.DateTimeField(blank=True, null=True)),
                (
                    "corpus",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to="feedback.corpus"
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="snapshots", to="feedback.project"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("project", "number"), name="one_snapshot_per_number"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "frozen"), _negated=True),
                            models.Q(("content_hash", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="a_frozen_snapshot_has_its_hash",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Prompt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("messages", models.JSONField()),
                (
                    "family",
                    models.CharField(help_text="Hash of the project's salt and the first user message.", max_length=64),
                ),
                (
                    "split",
                    models.CharField(
                        choices=[("train", "Train"), ("selection", "Selection"), ("test", "Test"), ("none", "None")],
                        max_length=16,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("received", "Received"),
                            ("screened", "Screened"),
                            ("ready", "Ready"),
                            ("blocked", "Blocked"),
                        ],
                        default="received",
                        max_length=16,
                    ),
                ),
                ("source", models.CharField(blank=True, max_length=100)),
                ("external_id", models.CharField(blank=True, max_length=200, null=True)),
                ("body_hash", models.CharField(blank=True, max_length=64)),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("responses_wanted", models.PositiveSmallIntegerField(default=0)),
                (
                    "screening",
                    models.JSONField(blank=True, default=dict, help_text="What the guard said, or that there is none."),
                ),
                ("turn", models.PositiveSmallIntegerField(default=0, help_text="1, 2, … in a conversation.")),
                (
                    "conversation",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="turns",
                        to="feedback.conversation",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="prompts",
                        to="feedback.project",
                    ),
                ),
                (
                    "group",
                    models.CharField(
                        blank=True,
                        help_text="The document, conversation or customer it is from: one split for all.",
                        max_length=200,
                    ),
                ),
                (
                    "provenance",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="What an import kept of its row, by format; only readers of files write it.",
                    ),
                ),
                (
                    "external_owner",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The annotator whose own numbering the external id is from. Empty: the project's.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["project", "-id"], name="prompt_newest_first"),
                    models.Index(
                        condition=models.Q(("state", "received")),
                        fields=["project", "id"],
                        name="prompt_waits_for_guard",
                    ),
                    models.Index(
                        condition=models.Q(("state", "received"), ("state", "screened"), _connector="OR"),
                        fields=["project"],
                        name="prompt_waiting",
                    ),
                    models.Index(
                        models.F("project"),
                        django.db.models.functions.text.Substr("family", 1, 8),
                        models.F("id"),
                        name="prompt_by_family",
                    ),
                    models.Index(
                        condition=models.Q(("group__gt", "")), fields=["project", "group", "id"], name="prompt_by_group"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("conversation__isnull", False)),
                        fields=("conversation", "turn"),
                        name="one_prompt_per_turn",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("external_owner__isnull", True)),
                        fields=("project", "external_id"),
                        name="one_prompt_per_external_id",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("external_owner__isnull", False)),
                        fields=("external_owner", "project", "external_id"),
                        name="one_prompt_per_own_external_id",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WorkerProcess",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200, unique=True)),
                ("queue", models.CharField(max_length=16)),
                ("pid", models.PositiveIntegerField()),
                ("host", models.CharField(max_length=200)),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                (
                    "job",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="feedback.job",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Document",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("text", models.TextField()),
                (
                    "messages",
                    models.JSONField(blank=True, help_text="Turns, when the document is a conversation.", null=True),
                ),
                ("source", models.CharField(max_length=200)),
                ("document_kind", models.CharField(max_length=30)),
                ("licence", models.CharField(max_length=100)),
                ("text_hash", models.CharField(max_length=64)),
                (
                    "corpus",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="documents", to="feedback.corpus"
                    ),
                ),
                ("characters", models.PositiveIntegerField(default=0)),
                (
                    "name",
                    models.CharField(blank=True, help_text="File and line, or the title it was given.", max_length=200),
                ),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "removed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("removed_reason", models.CharField(blank=True, max_length=200)),
                (
                    "signature",
                    models.BinaryField(blank=True, help_text="MinHash of its five-word sequences.", null=True),
                ),
                (
                    "upload",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="feedback.job",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("corpus", "text_hash"), name="no_exact_duplicate_in_a_corpus")
                ],
                "indexes": [
                    models.Index(fields=["corpus", "-id"], name="document_newest_first"),
                    models.Index(
                        condition=models.Q(("removed_at__isnull", False)),
                        fields=["corpus", "-id"],
                        name="document_removed",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ModelVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("tokenizer", "Tokenizer"),
                            ("policy", "Policy"),
                            ("reward", "Reward"),
                            ("encoder", "Encoder"),
                            ("classifier", "Classifier"),
                            ("tagger", "Tagger"),
                        ],
                        max_length=16,
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("stage", models.CharField(blank=True, help_text="The stage that made it.", max_length=16)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("candidate", "Candidate"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                            ("revoked", "Revoked"),
                        ],
                        default="candidate",
                        max_length=16,
                    ),
                ),
                ("path", models.CharField(help_text="Relative to DATA_DIR.", max_length=300)),
                ("manifest_sha256", models.CharField(max_length=64)),
                ("manifest", models.JSONField(blank=True, default=dict)),
                ("metrics", models.JSONField(blank=True, default=dict)),
                (
                    "tainted_at",
                    models.DateTimeField(blank=True, help_text="Trained on rows that were erased since.", null=True),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="feedback.modelversion",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="model_versions",
                        to="feedback.project",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("project", "kind", "number"), name="one_model_version_per_number")
                ],
            },
        ),
        migrations.CreateModel(
            name="Deployment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("weight", models.FloatField(default=1.0)),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField(blank=True, null=True)),
                ("note", models.CharField(blank=True, max_length=500)),
                ("rolled_back", models.BooleanField(default=False, help_text="It was ended by a roll back.")),
                (
                    "deployed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "model_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deployments",
                        to="feedback.modelversion",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="deployments", to="feedback.project"
                    ),
                ),
                (
                    "findings",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="What was overridden: name and sentence of each finding, as it stood.",
                    ),
                ),
                (
                    "override_reason",
                    models.CharField(
                        blank=True, help_text="Why it serves although findings spoke against it.", max_length=500
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("until__isnull", True)), fields=("project",), name="one_version_serves"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Chain",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("stages", models.JSONField()),
                (
                    "kind",
                    models.CharField(help_text="The stages joined by +: what 'of its kind' compares.", max_length=120),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("active", "Active"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="active",
                        max_length=16,
                    ),
                ),
                ("config", models.JSONField(blank=True, default=dict, help_text="Settings by stage.")),
                ("seed", models.PositiveIntegerField(default=0)),
                ("promote", models.BooleanField(default=False)),
                ("due_key", models.CharField(blank=True, max_length=64, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "corpus_snapshot",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="feedback.datasetsnapshot",
                    ),
                ),
                (
                    "snapshot",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="feedback.datasetsnapshot",
                    ),
                ),
                (
                    "base_model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="feedback.modelversion",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="chains", to="feedback.project"
                    ),
                ),
                (
                    "schedule",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="chains",
                        to="feedback.schedule",
                    ),
                ),
                (
                    "ignore_findings",
                    models.JSONField(blank=True, default=list, help_text="Names of findings that do not block it."),
                ),
                (
                    "looked_at",
                    models.BooleanField(
                        default=False,
                        help_text="A preflight of all its stages found nothing that blocks, but what is to be ignored.",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "active")),
                        fields=("project", "kind"),
                        name="one_active_chain_of_a_kind",
                    ),
                    models.UniqueConstraint(fields=("schedule", "due_key"), name="a_due_time_starts_one_chain"),
                ],
            },
        ),
        migrations.CreateModel(
            name="TrainingRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("position", models.PositiveSmallIntegerField(default=0)),
                (
                    "stage",
                    models.CharField(
                        choices=[
                            ("tokenizer", "Tokenizer"),
                            ("pretrain", "Pretrain"),
                            ("mlm", "Mlm"),
                            ("classify", "Classify"),
                            ("tag", "Tag"),
                            ("sft", "Sft"),
                            ("reward", "Reward"),
                            ("dpo", "Dpo"),
                            ("kto", "Kto"),
                            ("rloo", "Rloo"),
                            ("grpo", "Grpo"),
                            ("ppo", "Ppo"),
                            ("evaluate", "Evaluate"),
                        ],
                        max_length=16,
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("config", models.JSONField(blank=True, default=dict)),
                ("seed", models.PositiveIntegerField(default=0)),
                ("folder", models.CharField(help_text="The run folder, relative to DATA_DIR.", max_length=300)),
                ("metrics", models.JSONField(blank=True, default=dict, help_text="Final figures.")),
                (
                    "base_model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="runs_from",
                        to="feedback.modelversion",
                    ),
                ),
                (
                    "chain",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="runs", to="feedback.chain"
                    ),
                ),
                (
                    "incumbent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="feedback.modelversion",
                    ),
                ),
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="run", to="feedback.job"
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="runs", to="feedback.project"
                    ),
                ),
                (
                    "reward_model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="feedback.modelversion",
                    ),
                ),
                (
                    "snapshot",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="feedback.datasetsnapshot",
                    ),
                ),
                (
                    "guard",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="feedback.modelversion",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("project", "number"), name="one_run_per_number"),
                    models.UniqueConstraint(fields=("chain", "position"), name="one_run_per_place_in_a_chain"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RunSamples",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("step", models.PositiveIntegerField()),
                ("samples", models.JSONField()),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="samples", to="feedback.trainingrun"
                    ),
                ),
            ],
            options={
                "ordering": ["step"],
                "constraints": [
                    models.UniqueConstraint(fields=("run", "step"), name="one_set_of_samples_per_run_and_step")
                ],
            },
        ),
        migrations.CreateModel(
            name="RunPoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("step", models.PositiveIntegerField()),
                ("at", models.DateTimeField()),
                ("metrics", models.JSONField(help_text="Where the point stands for several steps, means over them.")),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="points", to="feedback.trainingrun"
                    ),
                ),
                (
                    "maxima",
                    models.JSONField(
                        blank=True, default=dict, help_text="The greatest of each figure over these steps."
                    ),
                ),
                (
                    "minima",
                    models.JSONField(blank=True, default=dict, help_text="The least of each figure over these steps."),
                ),
            ],
            options={
                "ordering": ["step"],
                "constraints": [models.UniqueConstraint(fields=("run", "step"), name="one_point_per_run_and_step")],
            },
        ),
        migrations.CreateModel(
            name="RunAlarm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("step", models.PositiveIntegerField()),
                ("name", models.CharField(max_length=60)),
                ("text", models.CharField(max_length=500)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="alarms", to="feedback.trainingrun"
                    ),
                ),
            ],
            options={
                "ordering": ["step"],
                "constraints": [models.UniqueConstraint(fields=("run", "step", "name"), name="an_alarm_once_per_step")],
            },
        ),
        migrations.CreateModel(
            name="Evaluation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("metrics", models.JSONField(default=dict)),
                (
                    "samples",
                    models.JSONField(
                        blank=True, default=list, help_text="Responses side by side, for people to look at."
                    ),
                ),
                ("decision", models.CharField(blank=True, max_length=30)),
                (
                    "snapshot",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="feedback.datasetsnapshot",
                    ),
                ),
                (
                    "candidate",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="evaluations",
                        to="feedback.modelversion",
                    ),
                ),
                (
                    "incumbent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="feedback.modelversion",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="evaluations", to="feedback.project"
                    ),
                ),
                (
                    "run",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="evaluation",
                        to="feedback.trainingrun",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Task",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("comparison", "Comparison"),
                            ("ranking", "Ranking"),
                            ("rating", "Rating"),
                            ("demonstration", "Demonstration"),
                            ("classification", "Classification"),
                            ("spans", "Spans"),
                            ("conversation", "Conversation"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("open", "Open"),
                            ("settled", "Settled"),
                            ("withdrawn", "Withdrawn"),
                            ("aside", "Aside"),
                        ],
                        default="open",
                        max_length=16,
                    ),
                ),
                (
                    "annotations_wanted",
                    models.PositiveSmallIntegerField(
                        blank=True, help_text="Empty: everybody may answer once (gold, training round).", null=True
                    ),
                ),
                ("free_slots", models.PositiveSmallIntegerField(help_text="Slots neither held nor answered.")),
                (
                    "priority",
                    models.PositiveSmallIntegerField(default=0, help_text="0 to 9; higher is given out first."),
                ),
                ("queue_key", models.BigIntegerField()),
                ("arm", models.CharField(default="given", help_text="Why it was chosen.", max_length=30)),
                ("propensity", models.FloatField(default=1.0, help_text="With which probability that arm chose it.")),
                ("gold", models.JSONField(blank=True, help_text="The right answer, if this is a check.", null=True)),
                ("training_round", models.BooleanField(default=False)),
                ("external_id", models.CharField(blank=True, max_length=200, null=True)),
                ("body_hash", models.CharField(blank=True, max_length=64)),
                (
                    "created_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tasks",
                        to="feedback.project",
                    ),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tasks",
                        to="feedback.prompt",
                    ),
                ),
                (
                    "ask",
                    models.JSONField(
                        blank=True, default=dict, help_text='More about the question, such as {"scheme": "topic"}.'
                    ),
                ),
                ("explanation", models.TextField(blank=True, help_text="Why it is right; told in the training round.")),
                (
                    "suggestion",
                    models.JSONField(
                        blank=True,
                        help_text="Spans that a marker made beforehand, with its version; the desk begins with them.",
                        null=True,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["project", "state", "-id"], name="task_newest_of_state"),
                    models.Index(fields=["prompt", "kind"], name="task_of_prompt"),
                    models.Index(
                        condition=models.Q(
                            ("free_slots__gt", 0), ("gold__isnull", True), ("state", "open"), ("training_round", False)
                        ),
                        fields=["project", "queue_key"],
                        name="task_queue",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("free_slots__gt", 0), ("gold__isnull", True), ("state", "open"), ("training_round", False)
                        ),
                        fields=["project", "kind", "queue_key"],
                        name="task_queue_of_kind",
                    ),
                    models.Index(
                        condition=models.Q(("gold__isnull", False), ("state", "open"), ("training_round", False)),
                        fields=["project", "queue_key"],
                        name="task_checks",
                    ),
                    models.Index(
                        condition=models.Q(("state", "open"), ("training_round", True)),
                        fields=["project", "queue_key"],
                        name="task_training_round",
                    ),
                    models.Index(fields=["project", "-id"], name="task_newest_first"),
                    models.Index(
                        condition=models.Q(
                            ("kind", "spans"), ("state__in", ["open", "waiting"]), ("suggestion__isnull", True)
                        ),
                        fields=["project", "id"],
                        name="task_to_mark",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("project", "external_id"), name="one_task_per_external_id"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("annotations_wanted__isnull", True),
                            ("free_slots__lte", models.F("annotations_wanted")),
                            _connector="OR",
                        ),
                        name="no_more_free_slots_than_wanted",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("propensity__gt", 0), ("propensity__lte", 1)), name="propensity_in_0_1"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Verdict",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("payload", models.JSONField()),
                ("shown", models.JSONField(default=list)),
                ("note", models.TextField(blank=True)),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="feedback.project"
                    ),
                ),
                (
                    "reviewer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="verdicts", to="feedback.task"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("task",), name="one_verdict_per_task")],
            },
        ),
        migrations.CreateModel(
            name="Assignment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("held", "Held"),
                            ("submitted", "Submitted"),
                            ("skipped", "Skipped"),
                            ("expired", "Expired"),
                            ("released", "Released"),
                        ],
                        default="held",
                        max_length=16,
                    ),
                ),
                (
                    "slot",
                    models.PositiveSmallIntegerField(
                        blank=True, help_text="1 to K; empty: an extra, or gold.", null=True
                    ),
                ),
                (
                    "order",
                    models.JSONField(
                        help_text="Keys of the responses in the order shown: the first is a, the next b, …"
                    ),
                ),
                ("ahead", models.BooleanField(default=False, help_text="Fetched for later, not shown yet.")),
                ("held_until", models.DateTimeField()),
                ("shown_at", models.DateTimeField(blank=True, null=True)),
                ("counted", models.BooleanField(default=False, help_text="The answer is one of the K.")),
                ("skip_reason", models.CharField(blank=True, max_length=30)),
                ("skip_note", models.CharField(blank=True, max_length=500)),
                (
                    "annotator",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="assignments",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, to="feedback.project"
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="assignments",
                        to="feedback.task",
                    ),
                ),
                ("arm", models.CharField(default="queue", help_text="Why this person was given it.", max_length=20)),
                ("propensity", models.FloatField(default=1.0, help_text="With which probability that arm was drawn.")),
                (
                    "sent_back",
                    models.CharField(
                        blank=True, help_text="What a reviewer asked for, sending it back.", max_length=500
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["project", "annotator", "state"], name="assignment_on_desk"),
                    models.Index(
                        condition=models.Q(("state", "held")), fields=["held_until"], name="assignment_expiry"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("task", "annotator"), name="nobody_gets_a_task_twice"),
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ["held", "submitted"])),
                        fields=("task", "slot"),
                        name="one_holder_per_slot",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("counted", False), ("state", "submitted"), _connector="OR"),
                        name="only_submitted_assignments_count",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Annotation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("kind", models.CharField(max_length=16)),
                ("revision", models.PositiveIntegerField(default=1)),
                ("payload", models.JSONField()),
                ("shown", models.JSONField(default=list, help_text="Public ids of the responses in the order shown.")),
                ("withdrawn", models.BooleanField(default=False)),
                ("late", models.BooleanField(default=False, help_text="Sent after the assignment had expired.")),
                ("seconds", models.FloatField(default=0, help_text="Spent on it, from when the task was shown.")),
                ("client", models.CharField(default="api", help_text="web, api, import or simulation.", max_length=20)),
                (
                    "annotator",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="annotations",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "assignment",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="annotations",
                        to="feedback.assignment",
                    ),
                ),
                (
                    "guideline",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="feedback.guidelineversion",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="annotations",
                        to="feedback.project",
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="annotations", to="feedback.task"
                    ),
                ),
                (
                    "blind",
                    models.BooleanField(
                        help_text="The annotator could not read who wrote the responses. Empty: not known, brought in.",
                        null=True,
                    ),
                ),
                (
                    "timed",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="The first answer, and its client measured the seconds.",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["project", "-id"], name="annotation_newest_first"),
                    models.Index(fields=["annotator", "project", "-id"], name="annotation_of_annotator"),
                    models.Index(
                        condition=models.Q(("revision", 1)),
                        fields=["annotator", "project", "created_at"],
                        name="annotation_by_day",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("assignment", "revision"), name="one_annotation_per_revision")
                ],
            },
        ),
        migrations.CreateModel(
            name="Draft",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("payload", models.JSONField(default=dict)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "assignment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="draft", to="feedback.assignment"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Flag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("reason", models.CharField(max_length=500)),
                (
                    "assignment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="flags", to="feedback.assignment"
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Concern",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("flagged", "Flagged"),
                            ("skipped", "Skipped"),
                            ("disagreement", "Disagreement"),
                            ("unreliable", "Unreliable"),
                            ("sample", "Sample"),
                        ],
                        max_length=16,
                    ),
                ),
                ("rank", models.PositiveSmallIntegerField()),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "assignment",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="concerns",
                        to="feedback.assignment",
                    ),
                ),
                (
                    "closed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="concerns", to="feedback.project"
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="concerns", to="feedback.task"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("closed_at__isnull", True)),
                        fields=["project", "rank", "id"],
                        name="concern_open",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("closed_at__isnull", True)),
                        fields=("assignment", "reason"),
                        name="one_open_concern_per_answer_and_reason",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("assignment__isnull", True), ("closed_at__isnull", True)),
                        fields=("task", "reason"),
                        name="one_open_concern_per_task_and_reason",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Response",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("text", models.TextField(blank=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("screening", "Screening"),
                            ("ready", "Ready"),
                            ("failed", "Failed"),
                            ("blocked", "Blocked"),
                        ],
                        default="ready",
                        max_length=16,
                    ),
                ),
                (
                    "model_name",
                    models.CharField(blank=True, help_text="A model that is not in the registry.", max_length=200),
                ),
                ("sampling", models.JSONField(blank=True, default=dict)),
                ("seed", models.BigIntegerField(blank=True, null=True)),
                (
                    "finish_reason",
                    models.CharField(blank=True, help_text="stop, or length when cut off.", max_length=16),
                ),
                ("tokens", models.PositiveIntegerField(blank=True, null=True)),
                ("error", models.CharField(blank=True, max_length=500)),
                ("external_id", models.CharField(blank=True, max_length=200, null=True)),
                ("body_hash", models.CharField(blank=True, max_length=64)),
                (
                    "author",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="responses",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="responses",
                        to="feedback.job",
                    ),
                ),
                (
                    "model_version",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="responses",
                        to="feedback.modelversion",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="responses",
                        to="feedback.project",
                    ),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="responses", to="feedback.prompt"
                    ),
                ),
                (
                    "annotation",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The answer to a demonstration task that wrote it; it stands while that is current.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="written",
                        to="feedback.annotation",
                    ),
                ),
                (
                    "prompt_tokens",
                    models.PositiveIntegerField(blank=True, help_text="Of the prompt, in its template.", null=True),
                ),
                (
                    "screening",
                    models.JSONField(blank=True, default=dict, help_text="What the guard said, if one looked at it."),
                ),
                (
                    "external_owner",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The annotator whose own numbering the external id is from. Empty: the project's.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Who asked a model for it: they may not judge it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "error_code",
                    models.CharField(blank=True, default="", help_text="Why asking again cannot help.", max_length=40),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["project", "-id"], name="response_newest_first"),
                    models.Index(
                        condition=models.Q(("state", "screening")),
                        fields=["project", "id"],
                        name="response_waits_for_guard",
                    ),
                    models.Index(
                        condition=models.Q(("state", "queued"), ("state", "running"), _connector="OR"),
                        fields=["project"],
                        name="response_awaited",
                    ),
                    models.Index(
                        condition=models.Q(("author__isnull", False)), fields=["author"], name="response_of_author"
                    ),
                    models.Index(
                        condition=models.Q(("annotation__isnull", False)),
                        fields=["annotation"],
                        name="response_of_annotation",
                    ),
                    models.Index(
                        condition=models.Q(("model_version__isnull", False)),
                        fields=["model_version"],
                        name="response_of_model",
                    ),
                    models.Index(condition=models.Q(("job__isnull", False)), fields=["job"], name="response_of_job"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("seed__isnull", True), ("seed__gte", 0), _connector="OR"),
                        name="response_seed_is_not_negative",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("external_id__isnull", False), ("external_owner__isnull", True)),
                        fields=("project", "external_id"),
                        name="one_response_per_external_id",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("external_owner__isnull", False)),
                        fields=("external_owner", "project", "external_id"),
                        name="one_response_per_own_external_id",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Review",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "decision",
                    models.CharField(
                        choices=[("accept", "Accept"), ("correct", "Correct"), ("send_back", "Send Back")],
                        max_length=16,
                    ),
                ),
                ("note", models.TextField(blank=True)),
                (
                    "annotation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="reviews", to="feedback.annotation"
                    ),
                ),
                (
                    "reviewer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "abstract": False,
                "constraints": [models.UniqueConstraint(fields=("annotation",), name="one_decision_per_annotation")],
            },
        ),
        migrations.CreateModel(
            name="SnapshotAnnotation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "annotation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="snapshots", to="feedback.annotation"
                    ),
                ),
                (
                    "snapshot",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="members",
                        to="feedback.datasetsnapshot",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("snapshot", "annotation"), name="an_annotation_once_per_snapshot")
                ],
            },
        ),
        migrations.CreateModel(
            name="PreferencePair",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("strength", models.PositiveSmallIntegerField(help_text="0 negligibly to 3 significantly better.")),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "annotation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pairs",
                        to="feedback.annotation",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pairs",
                        to="feedback.project",
                    ),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="pairs", to="feedback.prompt"
                    ),
                ),
                (
                    "chosen",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="feedback.response"
                    ),
                ),
                (
                    "rejected",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="feedback.response"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["project", "-id"], name="pair_newest_first")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("annotation", "chosen", "rejected"), name="a_pair_once_per_annotation"
                    ),
                    models.CheckConstraint(condition=models.Q(("strength__lte", 3)), name="strength_0_to_3"),
                    models.CheckConstraint(
                        condition=models.Q(("chosen", models.F("rejected")), _negated=True), name="nothing_beats_itself"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TaskResponse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveSmallIntegerField()),
                (
                    "response",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="placed",
                        to="feedback.response",
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="placed",
                        to="feedback.task",
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
                "constraints": [
                    models.UniqueConstraint(fields=("task", "position"), name="one_response_per_task_and_position"),
                    models.UniqueConstraint(fields=("response", "task"), name="a_response_once_per_task"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Thumb",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("up", models.BooleanField()),
                ("comment", models.TextField(blank=True)),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "response",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="thumbs", to="feedback.response"
                    ),
                ),
                (
                    "token",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="feedback.apitoken"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["response", "token", "-id"], name="thumb_last_of_token")],
            },
        ),
        migrations.AddField(
            model_name="modelversion",
            name="run",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="model_version",
                to="feedback.trainingrun",
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="responses",
            field=models.ManyToManyField(related_name="tasks", through="feedback.TaskResponse", to="feedback.response"),
        ),
        migrations.AddField(
            model_name="assignment",
            name="current",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="feedback.annotation",
            ),
        ),
    ]
