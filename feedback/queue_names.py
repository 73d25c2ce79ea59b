"""The queues of jobs and the names of their messages.

They are apart from `celery_app`, because the supervisor and the clock need neither Celery nor the models.
"""

DEFAULT, GENERATE, TRAIN = "default", "generate", "train"
QUEUES = (DEFAULT, GENERATE, TRAIN)

RUN_JOB = "workers.run_job"  # (job primary key): carry out the job
SWEEP = "workers.sweep"  # (): housekeeping: silent jobs, expired assignments, lost messages
TICK = "workers.tick"  # (): start training that is due by a schedule
CONTEST = "workers.contest"  # (contest primary key): supply it with units, and do what follows when it has ended
FORGOTTEN = "workers.password_forgotten"  # (person primary key, or 0 for an unknown name): e-mail a link
