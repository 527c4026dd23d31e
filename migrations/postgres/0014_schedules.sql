-- Schedules: rules that request an intent again and again; what came of each of their ticks; and what people changed about
-- anything that is no intent.

create table intendant.schedule (
  name text primary key check (length(name) between 1 and 200),
  -- What the code says.
  kind text not null,
  cron text,
  zone text,
  every_us bigint check (every_us > 0),
  starts_at timestamptz,
  catch_up text not null check (catch_up in ('skip', 'latest', 'all')),
  catch_up_limit integer not null,
  -- How its intents use the resource `schedule:NAME`.
  overlap text not null check (overlap in ('exclusive', 'touched')),
  revision integer not null check (revision > 0),
  declared_at timestamptz not null,
  declared_by text not null,
  -- The last tick that was decided; before the first one, when it was declared. The next one follows from it.
  last_at timestamptz not null,
  next_at timestamptz,
  paused_at timestamptz,
  paused_by text,
  pause_reason text,
  -- Counts the changes of this row: whoever decides ticks has seen the latest of them, or does not decide.
  version bigint not null default 1,
  check ((cron is null) <> (every_us is null)),
  check ((cron is null) = (zone is null)),
  check (next_at > last_at),
  check ((paused_at is null) = (paused_by is null))
);

create table intendant.schedule_tick (
  schedule text not null,
  at timestamptz not null,
  sort text not null check (sort in ('due', 'hand')),
  state text not null check (state in ('asked', 'requested', 'joined', 'rejected', 'skipped', 'failed')),
  -- The intent that was requested or joined, or on account of which it was rejected.
  intent_id uuid,
  error text,
  -- Of those that were left out: how many (or more), and the first of them.
  count integer not null default 1 check (count > 0),
  since timestamptz,
  decided_at timestamptz not null,
  -- The worker that decided it, or the person who asked for it by hand and why.
  worker text,
  asked_by text,
  reason text,
  primary key (schedule, at, sort),
  check (state not in ('requested', 'joined', 'rejected') or intent_id is not null)
);
create index schedule_tick_asked on intendant.schedule_tick (schedule, at) where state = 'asked';

-- Which schedules the code of a live session declares.
create table intendant.session_schedule (
  session_id uuid not null references intendant.session on delete cascade,
  schedule text not null,
  revision integer not null,
  primary key (session_id, schedule)
);

-- What people did to anything that is no intent: who, what, why (I9).
create table intendant.change (
  id uuid primary key,
  at timestamptz not null,
  subject text not null check (subject in ('schedule')),
  name text not null,
  verb text not null,
  actor text not null,
  reason text
);
create index change_of on intendant.change (subject, name, at);

create view intendant.schedules as
  select s.name, s.kind, s.cron, s.zone, s.every_us * interval '1 microsecond' as every, s.starts_at, s.catch_up,
         s.catch_up_limit, s.overlap, s.revision, s.declared_at, s.declared_by, s.last_at, s.next_at, s.paused_at, s.paused_by,
         s.pause_reason
    from intendant.schedule s;

create view intendant.schedule_ticks as
  select schedule, at, sort, state, intent_id, error, count, since, decided_at, worker, asked_by, reason
    from intendant.schedule_tick;

create view intendant.changes as
  select id, at, subject, name, verb, actor, reason from intendant.change;
