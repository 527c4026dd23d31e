-- The spine: intents, the places where their tasks are, results, locks, sessions, and the views for users' own SQL.
--
-- The same tables as on PostgreSQL (the comments there hold here too), with a prefix instead of a schema. Ids are
-- text, so that a filter on an id in a view is served by the index and any SQLite can read them; times are integer
-- microseconds since 1970 (UTC), which the views make readable; JSON is text.

create table intendant_intent (
  id text primary key check (length(id) = 36),
  kind text not null check (length(kind) between 1 and 200),
  queue text not null check (length(queue) between 1 and 200),
  account text check (length(account) between 1 and 200),
  input text not null,
  position integer not null,
  priority integer not null default 0,
  locks integer not null default 0,
  release_on_failure integer not null default 0,
  requested_at integer not null,
  run_at integer,
  requested_by text,
  parent_id text,
  parent_step text,
  root_id text not null,
  depth integer not null default 0,
  correlation_id text,
  check ((parent_id is null) = (parent_step is null))
) strict, without rowid;
create index intendant_intent_by_account on intendant_intent (account, id) where account is not null;
create index intendant_intent_by_parent on intendant_intent (parent_id) where parent_id is not null;

create table intendant_resource (
  intent_id text not null,
  resource text not null check (length(resource) between 3 and 400),
  mode text not null check (mode in ('touched', 'shared', 'exclusive')),
  primary key (intent_id, resource)
) strict, without rowid;
create index intendant_resource_history on intendant_resource (resource, intent_id);

create table intendant_key (
  account text not null,
  key text not null check (length(key) between 1 and 200),
  intent_id text not null,
  body_hash blob not null,
  expires_at integer not null,
  primary key (account, key)
) strict, without rowid;

create table intendant_outcome (
  intent_id text primary key,
  kind text not null,
  account text,
  state text not null check (state in ('succeeded', 'failed', 'cancelled')),
  requested_at integer not null,
  started_at integer,
  finished_at integer not null,
  output text,
  reason text check (reason in ('step failed', 'plan refused', 'undecodable', 'quarantined', 'circular wait',
                                'data refused')),
  error text,
  step text,
  plan_hash text,
  check (requested_at <= started_at and started_at <= finished_at),
  check (state <> 'failed' or (reason is not null and error is not null))
) strict, without rowid;
create index intendant_outcome_failed on intendant_outcome (finished_at, intent_id) where state = 'failed';

create table intendant_started (
  intent_id text primary key,
  started_at integer not null,
  plan_hash text,
  assumed_build text
) strict, without rowid;

create table intendant_plan (
  hash text primary key,
  shape text not null,
  created_at integer not null
) strict, without rowid;

create table intendant_ready (
  queue text not null,
  kind text not null,
  crashes integer not null default 0,
  position integer not null,
  intent_id text not null,
  started integer not null,
  locks integer not null,
  primary key (queue, kind, crashes, position, intent_id)
) strict, without rowid;

create table intendant_parked (
  intent_id text primary key,
  reason text not null check (reason in ('start time', 'retry', 'snooze', 'child', 'handler')),
  due_at integer,
  check (reason in ('child', 'handler') or due_at is not null)
) strict, without rowid;
create index intendant_parked_due on intendant_parked (due_at, intent_id) where due_at is not null;

create table intendant_blocked (
  intent_id text primary key,
  position integer not null
) strict, without rowid;

create table intendant_session (
  id text primary key,
  worker text not null,
  host text not null,
  pid integer not null,
  build text not null,
  lock_file text,
  lease_ms integer not null,
  started_at integer not null,
  beat integer not null default 0,
  beat_at integer not null,
  tick integer not null default 0,
  free integer not null default 0
) strict, without rowid;

create table intendant_session_kind (
  session_id text not null references intendant_session on delete cascade,
  kind text not null,
  queue text not null,
  plan_hash text,
  primary key (session_id, kind)
) strict, without rowid;

create table intendant_lease (
  id text primary key,
  session_id text not null references intendant_session,
  claimed_at integer not null,
  -- A JSON array of ids.
  tasks text not null,
  crashes integer not null default 0,
  alone integer not null default 0,
  check (crashes = 0 or json_array_length(tasks) <= 1)
) strict, without rowid;
create index intendant_lease_of_session on intendant_lease (session_id);

create table intendant_step (
  intent_id text not null,
  name text not null,
  generation integer not null default 1,
  state text not null check (state in ('pending', 'running', 'waiting', 'succeeded', 'failed', 'skipped', 'undone')),
  attempt integer not null,
  forgiven integer not null default 0,
  output text,
  error text,
  progress text,
  due_at integer,
  started_at integer,
  finished_at integer,
  worker text,
  primary key (intent_id, name, generation),
  check (state <> 'succeeded' or (output is not null and started_at <= finished_at))
) strict, without rowid;

create table intendant_attempt (
  intent_id text not null,
  step text not null,
  generation integer not null default 1,
  attempt integer not null,
  failure text not null check (failure in ('error', 'gave up', 'time-out', 'panic', 'output refused')),
  error text not null,
  started_at integer not null,
  finished_at integer not null,
  retry_at integer,
  worker text not null,
  primary key (intent_id, step, generation, attempt),
  check (started_at <= finished_at)
) strict, without rowid;

create table intendant_event (
  intent_id text not null,
  seq integer not null,
  at integer not null,
  actor text not null,
  verb text not null,
  reason text,
  detail text,
  primary key (intent_id, seq)
) strict, without rowid;

create table intendant_child (
  parent_id text not null,
  step text not null,
  generation integer not null default 1,
  name text not null,
  child_id text not null unique,
  input_hash blob not null,
  primary key (parent_id, step, generation, name)
) strict, without rowid;

create table intendant_wait (
  intent_id text primary key,
  arrived integer not null,
  wake_at integer
) strict, without rowid;

create table intendant_holder (
  resource text not null,
  intent_id text not null,
  mode text not null check (mode in ('shared', 'exclusive')),
  primary key (resource, intent_id)
) strict, without rowid;
create unique index intendant_holder_exclusive on intendant_holder (resource) where mode = 'exclusive';
create index intendant_holder_by_intent on intendant_holder (intent_id);

create table intendant_line (
  resource text not null,
  position integer not null,
  intent_id text not null,
  mode text not null check (mode in ('shared', 'exclusive')),
  primary key (resource, position, intent_id)
) strict, without rowid;
create index intendant_line_by_intent on intendant_line (intent_id);

-- Every unfinished task by place, with raw times: what the readable view below is made from.
create view intendant_place as
  select intent_id, 'ready' as state, null as claimed_at from intendant_ready
  union all
  select intent_id, 'waiting', null from intendant_parked
  union all
  select intent_id, 'blocked', null from intendant_blocked
  union all
  select t.value, 'running', l.claimed_at from intendant_lease l, json_each(l.tasks) t
   where not exists (select 1 from intendant_outcome o where o.intent_id = t.value);

create view intendant_intents as
  select i.id,
         i.kind, i.queue, i.account, o.state, i.requested_by,
         strftime('%Y-%m-%dT%H:%M:%fZ', i.requested_at / 1e6, 'unixepoch') as requested_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', o.started_at / 1e6, 'unixepoch') as started_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', o.finished_at / 1e6, 'unixepoch') as finished_at,
         i.input, o.output, o.reason, o.error, o.step as failed_step, i.priority,
         strftime('%Y-%m-%dT%H:%M:%fZ', i.run_at / 1e6, 'unixepoch') as run_at,
         i.parent_id,
         i.parent_step,
         i.root_id,
         i.correlation_id
    from intendant_outcome o join intendant_intent i on i.id = o.intent_id
  union all
  select i.id,
         i.kind, i.queue, i.account, p.state, i.requested_by,
         strftime('%Y-%m-%dT%H:%M:%fZ', i.requested_at / 1e6, 'unixepoch'),
         strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(s.started_at, max(p.claimed_at, i.requested_at)) / 1e6, 'unixepoch'),
         null, i.input, null, null, null, null, i.priority,
         strftime('%Y-%m-%dT%H:%M:%fZ', i.run_at / 1e6, 'unixepoch'),
         i.parent_id,
         i.parent_step,
         i.root_id,
         i.correlation_id
    from intendant_place p join intendant_intent i on i.id = p.intent_id
    left join intendant_started s on s.intent_id = i.id;

create view intendant_resources as
  select intent_id, resource, mode
    from intendant_resource;

create view intendant_steps as
  select intent_id,
         name, generation, state, attempt, output, error, progress,
         strftime('%Y-%m-%dT%H:%M:%fZ', due_at / 1e6, 'unixepoch') as due_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1e6, 'unixepoch') as started_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1e6, 'unixepoch') as finished_at,
         worker
    from intendant_step;

create view intendant_attempts as
  select intent_id,
         step, generation, attempt, failure, error,
         strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1e6, 'unixepoch') as started_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1e6, 'unixepoch') as finished_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', retry_at / 1e6, 'unixepoch') as retry_at,
         worker
    from intendant_attempt;

create view intendant_events as
  select intent_id,
         seq, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e6, 'unixepoch') as at, actor, verb, reason, detail
    from intendant_event;
