-- Retention: how long what has finished is kept, and its payloads; what was removed; what had to stay.

-- The rules. Two for the same kind and state at most: what the code declares and what a person has said, which goes before it.
-- Where there is none, everything is kept.
create table intendant.retention (
  -- '': every kind that has no rule of its own.
  kind text not null check (length(kind) <= 200),
  state text not null check (state in ('succeeded', 'failed', 'cancelled')),
  said text not null check (said in ('code', 'person')),
  -- How long after the finish of the tree's root; null: for ever.
  rows_us bigint check (rows_us > 0),
  -- Null: as long as the rows.
  payloads_us bigint check (payloads_us > 0),
  -- Of the code's: an older one does not overwrite it. Of a person's 0.
  revision integer not null check (revision >= 0),
  said_at timestamptz not null,
  said_by text not null,
  reason text,
  primary key (kind, state, said),
  check (payloads_us < rows_us)
);

-- How far removal has come: all that finished up to here is gone, is part of a tree that goes with its root, or is in *retention_kept*.
create table intendant.retention_cursor (
  kind text not null,
  state text not null,
  what text not null check (what in ('rows', 'payloads')),
  finished_at timestamptz not null,
  intent_id uuid not null,
  primary key (kind, state, what)
);

-- Roots that are old enough and had to stay, with the reason; they are looked at again.
create table intendant.retention_kept (
  intent_id uuid not null,
  what text not null check (what in ('rows', 'payloads')),
  reason text not null,
  looked_at timestamptz not null,
  primary key (intent_id, what)
);
create index retention_kept_look on intendant.retention_kept (looked_at, intent_id);

-- How much was removed: one row for each day (UTC), kind and sort.
create table intendant.removal (
  day date not null,
  kind text not null,
  what text not null check (what in ('rows', 'payloads')),
  intents bigint not null check (intents > 0),
  last_at timestamptz not null,
  primary key (day, kind, what)
);

-- Set as soon as the tree is about to lose its payloads or its rows: from then on nothing of it runs again.
alter table intendant.outcome add column payload_removed_at timestamptz;
-- Set when the input goes: whoever asks by plain SQL may read no more than this table.
alter table intendant.intent add column payload_removed_at timestamptz;

-- What is old enough, of one kind and state, in the order of its finish. One entry more for each outcome, always at the end of its
-- kind's part; with it a round costs what it removes, however long the history.
create index outcome_finished on intendant.outcome (kind, state, finished_at, intent_id);

-- Keys whose time is over mean nothing any more, and go in this order.
create index key_expired on intendant.key (expires_at);

insert into intendant.turn (duty, at) values ('retain', '-infinity');

alter table intendant.change drop constraint change_subject_check;
alter table intendant.change add constraint change_subject_check check (subject in ('schedule', 'queue', 'retention'));

create view intendant.retentions as
  select kind, state, said, rows_us / 1e6 as rows_s, payloads_us / 1e6 as payloads_s, revision, said_at, said_by, reason
    from intendant.retention;

create view intendant.removals as
  select day, kind, what, intents, last_at from intendant.removal;

-- One column more, at the end.
create or replace view intendant.intents as
  select i.id, i.kind, i.queue, i.account, o.state, i.requested_by, i.requested_at, o.started_at, o.finished_at,
         i.input, o.output, o.reason, o.error, o.step as failed_step, i.priority, i.run_at, i.parent_id, i.parent_step,
         i.root_id, i.correlation_id, o.payload_removed_at
    from intendant.outcome o join intendant.intent i on i.id = o.intent_id
  union all
  select i.id, i.kind, i.queue, i.account, 'ready', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id, null
    from intendant.intent i
    join intendant.ready r on r.queue = i.queue and r.kind = i.kind and r.crashes = any ('{0,1,2,3,4}'::smallint[])
                          and r.position = i.position and r.intent_id = i.id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.cancel c where c.intent_id = i.id)
  union all
  select i.id, i.kind, i.queue, i.account, 'waiting', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id, null
    from intendant.parked p join intendant.intent i on i.id = p.intent_id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.cancel c where c.intent_id = i.id)
  union all
  select i.id, i.kind, i.queue, i.account, 'blocked', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id, null
    from intendant.blocked b join intendant.intent i on i.id = b.intent_id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.cancel c where c.intent_id = i.id)
  union all
  select i.id, i.kind, i.queue, i.account,
         case when c.intent_id is null then 'running' else 'undoing' end, i.requested_by, i.requested_at,
         coalesce(s.started_at, greatest(l.claimed_at, i.requested_at)), null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id, null
    from intendant.lease l
    cross join lateral unnest(l.tasks) as t (id)
    join intendant.intent i on i.id = t.id
    left join intendant.started s on s.intent_id = i.id
    left join intendant.cancel c on c.intent_id = i.id
   where not exists (select from intendant.outcome o where o.intent_id = t.id)
  union all
  select i.id, i.kind, i.queue, i.account, 'undoing', i.requested_by, i.requested_at, s.started_at, null,
         i.input, null, null, null, null, i.priority, i.run_at, i.parent_id, i.parent_step, i.root_id, i.correlation_id, null
    from intendant.cancel c join intendant.intent i on i.id = c.intent_id
    left join intendant.started s on s.intent_id = i.id
   where not exists (select from intendant.outcome o where o.intent_id = i.id)
     and not exists (select from intendant.lease l where i.id = any (l.tasks));

-- As before; but the body of what retention has removed cannot be compared any more, and the key holds as long as it was to.
create or replace function intendant.claim_key(account text, key text, new_id uuid, kind text, input jsonb) returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  known uuid;
  is_same boolean;
begin
  insert into intendant.key as k (account, key, intent_id, body_hash, expires_at)
  values (coalesce(claim_key.account, ''), claim_key.key, new_id, '', clock_timestamp() + interval '720 hours')
  on conflict (account, key) do update
     set intent_id = excluded.intent_id, body_hash = excluded.body_hash, expires_at = excluded.expires_at
   where k.expires_at <= clock_timestamp();
  if found then
    return null;
  end if;
  select k.intent_id,
         coalesce(i.kind = claim_key.kind
                  and (i.input::jsonb = claim_key.input or i.payload_removed_at is not null), true)
    into known, is_same
    from intendant.key k left join intendant.intent i on i.id = k.intent_id
   where k.account = coalesce(claim_key.account, '') and k.key = claim_key.key;
  if not found then
    raise exception using errcode = '40001',
      message = format('the key `%s` was taken while this transaction ran; try again in a new transaction',
                       claim_key.key);
  elsif not is_same then
    raise exception using errcode = 'IN409',
      message = format('the key `%s` was used for another request, intent %s; use a new key for a new request',
                       claim_key.key, known);
  end if;
  return known;
end $$;
