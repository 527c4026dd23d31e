-- Limits, deadlines, alerts: what is too late is stopped by a limit, or told of by an alert; and kinds whose intents crash
-- their workers one after the other are tried more and more rarely.

-- Two more reasons to fail.
alter table intendant.outcome drop constraint outcome_reason_check;
alter table intendant.outcome add constraint outcome_reason_check
 check (reason in ('step failed', 'plan refused', 'undecodable', 'quarantined', 'circular wait', 'data refused',
                   'interrupted', 'undo failed', 'step limit', 'intent limit')) not valid;

-- From when on an intent's limit counts, where a person has put it back in line after a failure.
alter table intendant.started add column again_at timestamptz;

-- When the first attempt of a step began, for its limit over all attempts; null of a step that succeeds at once.
alter table intendant.step add column begun_at timestamptz;

-- What is to be done by when. A row is written with the request of an intent that has a deadline, or when a step that has
-- one becomes ready, and goes when it is due: what is not done by then gets an alert.
create table intendant.deadline (
  intent_id uuid not null,
  -- '' for the intent as a whole.
  step text not null default '',
  generation integer not null default 1,
  due_at timestamptz not null,
  primary key (intent_id, step, generation)
);
create index deadline_due on intendant.deadline (due_at);

-- What people should know of. Raised once for each thing that it is about, and resolved when its cause is gone.
create table intendant.alert (
  id uuid primary key,
  kind text not null check (kind in ('intent deadline', 'step deadline', 'slow step', 'queue too old', 'no worker',
                                     'worker gone', 'kind backs off')),
  -- The intent and step, the queue, the session…: one alert at a time is open for it.
  about text not null,
  intent_id uuid,
  intent_kind text,
  step text,
  generation integer,
  queue text,
  worker text,
  host text,
  since timestamptz not null,
  raised_at timestamptz not null,
  resolved_at timestamptz,
  text text not null,
  count bigint not null
);
create unique index alert_open on intendant.alert (kind, about) where resolved_at is null;
create index alert_resolved on intendant.alert (resolved_at) where resolved_at is not null;

create view intendant.alerts as
  select id, kind, intent_id, intent_kind, step, queue, worker, since, raised_at, resolved_at, text, count
    from intendant.alert;

-- Failures that are not counted in a notice yet: written with the outcome, gone with the next turn of housekeeping.
create table intendant.untold (
  intent_id uuid primary key
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- What is to be told to whoever listens: one row for each sort of alert and each group of failures, with how many there
-- have been since it was last told.
create table intendant.notice (
  topic text primary key,
  kind text not null,
  intent_kind text,
  step text,
  queue text,
  worker text,
  newest_id uuid,
  text text not null,
  count bigint not null,
  since timestamptz not null,
  last_at timestamptz not null,
  told_at timestamptz,
  told_by text
);

-- Whose turn it is: to look for alerts, to tell of them.
create table intendant.turn (
  duty text primary key,
  session_id uuid,
  worker text,
  at timestamptz not null
);
insert into intendant.turn (duty, at) values ('look', 'epoch'), ('tell', 'epoch');

-- Kinds whose intents have crashed their workers. From two different intents in a row on, the kind's tasks are claimed one
-- at a time, and not before `until`.
create table intendant.poison (
  kind text primary key,
  intents integer not null,
  -- The one that did so last.
  intent_id uuid not null,
  crashed_at timestamptz not null,
  until timestamptz not null
);
