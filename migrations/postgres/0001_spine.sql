-- The spine: intents, the places where their tasks are, results, locks, sessions, and the views for users' own SQL.
--
-- Two sorts of tables. History is append-only: a row is written once (intent, outcome, attempt, event, started). The hot
-- tables are small and say where each unfinished task is (ready, parked, blocked, lease): exactly one of the four holds
-- it at any time (I1). Tables have singular names and may change between versions; the views at the end have plural
-- names, are documented in docs/SQL.md, and stay.

create table intendant.intent (
  id uuid primary key,
  kind text not null check (length(kind) between 1 and 200),
  queue text not null check (length(queue) between 1 and 200),
  account text check (length(account) between 1 and 200),
  input json not null,
  -- Order of the claim: time of the request in microseconds, minus what the priority is worth. Smaller goes first.
  -- Fixed for good, so that waiting longer is itself the ageing, and so that `ready` can be found by its primary key.
  position bigint not null,
  priority integer not null default 0,
  -- Some resource is wanted shared or exclusively: the claim has to take locks.
  locks boolean not null default false,
  -- A failed intent keeps its locks unless its kind says otherwise.
  release_on_failure boolean not null default false,
  requested_at timestamptz not null,
  run_at timestamptz,
  requested_by text,
  parent_id uuid,
  parent_step text,
  root_id uuid not null,
  depth integer not null default 0,
  correlation_id text,
  check ((parent_id is null) = (parent_step is null))
);
create index intent_by_account on intendant.intent (account, id) where account is not null;
create index intent_by_parent on intendant.intent (parent_id) where parent_id is not null;

-- What an intent touches; searchable for ever.
create table intendant.resource (
  intent_id uuid not null,
  resource text not null check (length(resource) between 3 and 400),
  mode text not null check (mode in ('touched', 'shared', 'exclusive')),
  primary key (intent_id, resource)
);
create index resource_history on intendant.resource (resource, intent_id);

create table intendant.key (
  account text not null,
  key text not null check (length(key) between 1 and 200),
  intent_id uuid not null,
  body_hash bytea not null,
  expires_at timestamptz not null,
  primary key (account, key)
);

-- I3 of promises: the primary key is what makes an intent finish once.
create table intendant.outcome (
  intent_id uuid primary key,
  kind text not null,
  account text,
  state text not null check (state in ('succeeded', 'failed', 'cancelled')),
  requested_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz not null,
  output json,
  -- Of a failed intent: why, in one line, and in which step.
  reason text check (reason in ('step failed', 'plan refused', 'undecodable', 'quarantined', 'circular wait',
                                'data refused')),
  error text,
  step text,
  plan_hash text,
  check (requested_at <= started_at and started_at <= finished_at),
  check (state <> 'failed' or (reason is not null and error is not null))
);
create index outcome_failed on intendant.outcome (finished_at, intent_id) where state = 'failed';

-- Written when an intent leaves its first lease unfinished, or before its first step where the plan's shape was not
-- known to the session: from here on it goes by this plan.
create table intendant.started (
  intent_id uuid primary key,
  started_at timestamptz not null,
  plan_hash text,
  -- Set where a reaper wrote the row for a dead session: the build that the session ran. The plan is then what the
  -- session would have used, if it came to that.
  assumed_build text
);

create table intendant.plan (
  hash text primary key,
  shape json not null,
  created_at timestamptz not null default now()
);

-- The four places of a task (I1). Claimable rows only, in the order of the claim; crashes > 0 marks a suspect, which is
-- claimed by itself.
create table intendant.ready (
  queue text not null,
  kind text not null,
  crashes smallint not null default 0,
  position bigint not null,
  intent_id uuid not null,
  -- It has been in a lease before, so there may be results to load.
  started boolean not null,
  locks boolean not null,
  primary key (queue, kind, crashes, position, intent_id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);

create table intendant.parked (
  intent_id uuid primary key,
  reason text not null check (reason in ('start time', 'retry', 'snooze', 'child', 'handler')),
  due_at timestamptz,
  check (reason in ('child', 'handler') or due_at is not null)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
create index parked_due on intendant.parked (due_at, intent_id) where due_at is not null;

create table intendant.blocked (
  intent_id uuid primary key,
  position bigint not null
);

create table intendant.session (
  id uuid primary key,
  worker text not null,
  host text not null,
  pid bigint not null,
  build text not null,
  lock_file text,
  lease_ms bigint not null,
  started_at timestamptz not null,
  beat bigint not null default 0,
  beat_at timestamptz not null,
  -- Number of the last committed tick: after a COMMIT whose answer was lost, this says whether it took place.
  tick bigint not null default 0,
  -- Steps that it could start at once; others look at it before they hoard.
  free bigint not null default 0
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create table intendant.session_kind (
  session_id uuid not null references intendant.session on delete cascade,
  kind text not null,
  queue text not null,
  -- The shape of the kind's plans in this session, once known.
  plan_hash text,
  primary key (session_id, kind)
);

create table intendant.lease (
  id uuid primary key,
  session_id uuid not null references intendant.session,
  claimed_at timestamptz not null,
  tasks uuid[] not null,
  -- Of a suspect, which is in a lease by itself.
  crashes smallint not null default 0,
  -- The session has had nothing else in hand since it claimed this one: if it dies now, this is why.
  alone boolean not null default false,
  check (crashes = 0 or cardinality(tasks) <= 1)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index lease_of_session on intendant.lease (session_id);

-- One row per step that has something to say: a result; or that it runs, or waits, since when, with what progress.
create table intendant.step (
  intent_id uuid not null,
  name text not null,
  generation integer not null default 1,
  state text not null check (state in ('pending', 'running', 'waiting', 'succeeded', 'failed', 'skipped', 'undone')),
  -- The attempt that is running or that ended it.
  attempt integer not null,
  -- Attempts used up before the last resume; they do not count against the step's limit.
  forgiven integer not null default 0,
  output json,
  error text,
  progress json,
  due_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  worker text,
  primary key (intent_id, name, generation),
  check (state <> 'succeeded' or (output is not null and started_at <= finished_at))
);

create table intendant.attempt (
  intent_id uuid not null,
  step text not null,
  generation integer not null default 1,
  attempt integer not null,
  failure text not null check (failure in ('error', 'gave up', 'time-out', 'panic', 'output refused')),
  error text not null,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  -- When the next attempt is due; none where there is none.
  retry_at timestamptz,
  worker text not null,
  primary key (intent_id, step, generation, attempt),
  check (started_at <= finished_at)
);

create table intendant.event (
  intent_id uuid not null,
  seq integer not null,
  at timestamptz not null,
  actor text not null,
  verb text not null,
  reason text,
  detail json,
  primary key (intent_id, seq)
);

create table intendant.child (
  parent_id uuid not null,
  step text not null,
  generation integer not null default 1,
  name text not null,
  child_id uuid not null unique,
  input_hash bytea not null,
  primary key (parent_id, step, generation, name)
);

-- One row decides between a completion and a parking (PROTOCOL P3): both lock it, so whoever comes second sees the
-- other. `arrived` only grows.
create table intendant.wait (
  intent_id uuid primary key,
  arrived bigint not null,
  wake_at bigint
) with (fillfactor = 70);

-- Who holds what, and who stands in line for it (I4).
create table intendant.holder (
  resource text not null,
  intent_id uuid not null,
  mode text not null check (mode in ('shared', 'exclusive')),
  primary key (resource, intent_id)
);
create unique index holder_exclusive on intendant.holder (resource) where mode = 'exclusive';
create index holder_by_intent on intendant.holder (intent_id);

create table intendant.line (
  resource text not null,
  position bigint not null,
  intent_id uuid not null,
  mode text not null check (mode in ('shared', 'exclusive')),
  primary key (resource, position, intent_id)
);
create index line_by_intent on intendant.line (intent_id);

-- The views. A filter on a live state reads the hot tables only: each branch of the union is one place.
create view intendant.intents as
  select i.id, i.kind, i.queue, i.account, o.state, i.requested_by, i.requested_at, o.started_at, o.finished_at,
         i.input, o.output, o.reason, o.error, o.step as failed_step, i.priority, i.run_at, i.parent_id, i.parent_step,
         i.root_id, i.correlation_id
    from intendant.outcome o join intendant.intent i on i.id = o.intent_id
  union all
  select i.id, i.kind, i.queue, i.account, 'ready', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id
    from intendant.intent i
    join intendant.ready r on r.queue = i.queue and r.kind = i.kind and r.crashes = any ('{0,1,2,3,4}'::smallint[])
                          and r.position = i.position and r.intent_id = i.id
    left join intendant.started s on s.intent_id = i.id
  union all
  select i.id, i.kind, i.queue, i.account, 'waiting', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id
    from intendant.parked p join intendant.intent i on i.id = p.intent_id
    left join intendant.started s on s.intent_id = i.id
  union all
  select i.id, i.kind, i.queue, i.account, 'blocked', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id
    from intendant.blocked b join intendant.intent i on i.id = b.intent_id
    left join intendant.started s on s.intent_id = i.id
  union all
  select i.id, i.kind, i.queue, i.account, 'running', i.requested_by, i.requested_at,
         coalesce(s.started_at, greatest(l.claimed_at, i.requested_at)), null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id
    from intendant.lease l
    cross join lateral unnest(l.tasks) as t (id)
    join intendant.intent i on i.id = t.id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.outcome o where o.intent_id = t.id);

create view intendant.resources as
  select intent_id, resource, mode from intendant.resource;

create view intendant.steps as
  select intent_id, name, generation, state, attempt, output, error, progress, due_at, started_at, finished_at, worker
    from intendant.step;

create view intendant.attempts as
  select intent_id, step, generation, attempt, failure, error, started_at, finished_at, retry_at, worker
    from intendant.attempt;

create view intendant.events as
  select intent_id, seq, at, actor, verb, reason, detail from intendant.event;
