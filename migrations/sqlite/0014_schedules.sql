-- Schedules: rules that request an intent again and again; what came of each of their ticks; and what people changed about
-- anything that is no intent. The comments of the other dialect hold here too.

create table intendant_schedule (
  name text primary key check (length(name) between 1 and 200),
  kind text not null,
  cron text,
  zone text,
  every_us integer check (every_us > 0),
  starts_at integer,
  catch_up text not null check (catch_up in ('skip', 'latest', 'all')),
  catch_up_limit integer not null,
  overlap text not null check (overlap in ('exclusive', 'touched')),
  revision integer not null check (revision > 0),
  declared_at integer not null,
  declared_by text not null,
  last_at integer not null,
  next_at integer,
  paused_at integer,
  paused_by text,
  pause_reason text,
  version integer not null default 1,
  check ((cron is null) <> (every_us is null)),
  check ((cron is null) = (zone is null)),
  check (next_at > last_at),
  check ((paused_at is null) = (paused_by is null))
) strict, without rowid;

create table intendant_schedule_tick (
  schedule text not null,
  at integer not null,
  sort text not null check (sort in ('due', 'hand')),
  state text not null check (state in ('asked', 'requested', 'joined', 'rejected', 'skipped', 'failed')),
  intent_id text,
  error text,
  count integer not null default 1 check (count > 0),
  since integer,
  decided_at integer not null,
  worker text,
  asked_by text,
  reason text,
  primary key (schedule, at, sort),
  check (state not in ('requested', 'joined', 'rejected') or intent_id is not null)
) strict, without rowid;
create index intendant_schedule_tick_asked on intendant_schedule_tick (schedule, at) where state = 'asked';

create table intendant_session_schedule (
  session_id text not null references intendant_session on delete cascade,
  schedule text not null,
  revision integer not null,
  primary key (session_id, schedule)
) strict, without rowid;

create table intendant_change (
  id text primary key,
  at integer not null,
  subject text not null check (subject in ('schedule')),
  name text not null,
  verb text not null,
  actor text not null,
  reason text
) strict, without rowid;
create index intendant_change_of on intendant_change (subject, name, at);

create view intendant_schedules as
  select s.name, s.kind, s.cron, s.zone, s.every_us / 1e6 as every_s,
         strftime('%Y-%m-%dT%H:%M:%fZ', s.starts_at / 1e6, 'unixepoch') as starts_at, s.catch_up, s.catch_up_limit,
         s.overlap, s.revision, strftime('%Y-%m-%dT%H:%M:%fZ', s.declared_at / 1e6, 'unixepoch') as declared_at,
         s.declared_by, strftime('%Y-%m-%dT%H:%M:%fZ', s.last_at / 1e6, 'unixepoch') as last_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', s.next_at / 1e6, 'unixepoch') as next_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', s.paused_at / 1e6, 'unixepoch') as paused_at, s.paused_by, s.pause_reason
    from intendant_schedule s;

create view intendant_schedule_ticks as
  select schedule, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e6, 'unixepoch') as at, sort, state, intent_id, error, count,
         strftime('%Y-%m-%dT%H:%M:%fZ', since / 1e6, 'unixepoch') as since,
         strftime('%Y-%m-%dT%H:%M:%fZ', decided_at / 1e6, 'unixepoch') as decided_at, worker, asked_by, reason
    from intendant_schedule_tick;

create view intendant_changes as
  select id, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e6, 'unixepoch') as at, subject, name, verb, actor, reason
    from intendant_change;
