"""The queues of jobs and what their messages are called. Apart from `queue`, since who only starts the workers, or
only keeps the time, needs neither Celery's application nor the models."""

DEFAULT, GENERATE, TRAIN = "default", "generate", "train"
QUEUES = (DEFAULT, GENERATE, TRAIN)

RUN_JOB = "workers.run_job"  # (job primary key): carry out the job of that row
SWEEP = "workers.sweep"  # (): silent jobs, expired assignments, unheard knocks
TICK = "workers.tick"  # (): start what the schedules say is due
