-- Retention: how long what has finished is kept, and its payloads; what was removed; what had to stay. The comments of the other
-- dialect hold here too.

create table intendant_retention (
  kind text not null check (length(kind) <= 200),
  state text not null check (state in ('succeeded', 'failed', 'cancelled')),
  said text not null check (said in ('code', 'person')),
  rows_us integer check (rows_us > 0),
  payloads_us integer check (payloads_us > 0),
  revision integer not null check (revision >= 0),
  said_at integer not null,
  said_by text not null,
  reason text,
  primary key (kind, state, said),
  check (payloads_us < rows_us)
) strict, without rowid;

create table intendant_retention_cursor (
  kind text not null,
  state text not null,
  what text not null check (what in ('rows', 'payloads')),
  finished_at integer not null,
  intent_id text not null,
  primary key (kind, state, what)
) strict, without rowid;

create table intendant_retention_kept (
  intent_id text not null,
  what text not null check (what in ('rows', 'payloads')),
  reason text not null,
  looked_at integer not null,
  primary key (intent_id, what)
) strict, without rowid;
create index intendant_retention_kept_look on intendant_retention_kept (looked_at, intent_id);

create table intendant_removal (
  -- As 2026-07-01.
  day text not null,
  kind text not null,
  what text not null check (what in ('rows', 'payloads')),
  intents integer not null check (intents > 0),
  last_at integer not null,
  primary key (day, kind, what)
) strict, without rowid;

alter table intendant_outcome add column payload_removed_at integer;
alter table intendant_intent add column payload_removed_at integer;
create index intendant_outcome_finished on intendant_outcome (kind, state, finished_at, intent_id);
create index intendant_key_expired on intendant_key (expires_at);

insert into intendant_turn (duty, at) values ('retain', 0);

-- As in 0007: a check is a text, and so is a trigger. The body of what retention has removed cannot be compared any more, and the
-- key holds as long as it was to.
pragma writable_schema = on;
update sqlite_schema set sql = replace(sql, '''schedule'', ''queue'')', '''schedule'', ''queue'', ''retention'')')
 where type = 'table' and name = 'intendant_change';
update sqlite_schema
   set sql = replace(replace(sql, '(i.id is null or i.kind <> new.kind', '(i.kind <> new.kind'),
                     'or i.input <> new.input and exists (',
                     'or i.input <> new.input
              and i.payload_removed_at is null and exists (')
 where type = 'trigger' and name = 'intendant_request_write';
pragma writable_schema = reset;

create view intendant_retentions as
  select kind, state, said, rows_us / 1e6 as rows_s, payloads_us / 1e6 as payloads_s, revision,
         strftime('%Y-%m-%dT%H:%M:%fZ', said_at / 1e6, 'unixepoch') as said_at, said_by, reason
    from intendant_retention;

create view intendant_removals as
  select day, kind, what, intents, strftime('%Y-%m-%dT%H:%M:%fZ', last_at / 1e6, 'unixepoch') as last_at
    from intendant_removal;

-- One column more, at the end.
drop view intendant_intents;
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
         i.correlation_id,
         strftime('%Y-%m-%dT%H:%M:%fZ', o.payload_removed_at / 1e6, 'unixepoch') as payload_removed_at
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
         i.correlation_id,
         null
    from intendant_place p join intendant_intent i on i.id = p.intent_id
    left join intendant_started s on s.intent_id = i.id;
