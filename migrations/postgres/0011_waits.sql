-- What a step waits for besides a retry.

-- Children: of a step that has more children to ask for, how many of those under way may be unfinished when it goes on.
alter table intendant.step add column spare integer;

-- Sleeps and signals: what a step waits for by a name of its own. What the name meant the first time holds: when it is
-- due is fixed then, by the database's clock, and a message that was taken for it stays its own. `waits`: which of them
-- the step waits for just now, an array of names.
alter table intendant.step add column waits json;

create table intendant.awaited (
  intent_id uuid not null,
  step text not null,
  generation integer not null,
  name text not null check (length(name) between 1 and 200),
  sort text not null check (sort in ('sleep', 'signal')),
  asked_at timestamptz not null,
  -- Of a signal: until when it is waited for, if not for ever.
  due_at timestamptz,
  signal_id uuid,
  primary key (intent_id, step, generation, name),
  check (sort = 'signal' or (due_at is not null and signal_id is null))
);
-- A message is one wait's.
create unique index awaited_signal on intendant.awaited (signal_id) where signal_id is not null;

-- Messages from outside. A sender only adds a row, so that its transaction may stay open as long as it likes; a tick counts
-- the message in the wait row of its intent, once, and with that wakes who waits for it.
create table intendant.signal (
  id uuid primary key,
  intent_id uuid not null,
  name text not null check (length(name) between 1 and 200),
  key text check (length(key) between 1 and 200),
  payload json not null,
  sent_at timestamptz not null,
  sent_by text,
  counted boolean not null default false,
  -- Why the step that took it could not read it: it is set aside then.
  refused text
);
create index signal_of_intent on intendant.signal (intent_id, id);
create unique index signal_key on intendant.signal (intent_id, name, key) where key is not null;
create index signal_new on intendant.signal (id) where not counted;

create view intendant.signals as
  select s.id, s.intent_id, s.name, s.key, s.payload, s.sent_at, s.sent_by, a.step as taken_by, s.refused
    from intendant.signal s left join intendant.awaited a on a.signal_id = s.id;

-- A message from plain SQL, within the caller's transaction: docs/SQL.md. Returns its id, or that of the one that was sent
-- with the same key before. Takes no lock that a worker waits for.
create function intendant.signal(
  intent_id uuid,
  name text,
  payload jsonb default null,
  key text default null,
  sent_by text default null
) returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  body constant jsonb := coalesce(signal.payload, 'null');
  bytes constant integer := octet_length(body::text);
  new_id uuid;
  known text;
begin
  perform intendant.check_name('signal', signal.name);
  perform intendant.check_name(n.what, n.name)
     from (values ('key', signal.key), ('sender', signal.sent_by)) n (what, name) where n.name is not null;
  if bytes > 1048576 then
    raise exception using errcode = 'IN400', message = format(
      'the signal: the payload has %s bytes, the limit is 1048576; keep big things elsewhere and pass their name', bytes);
  elsif bytes > 200 and jsonb_path_exists(
          body, 'strict $.**{100 to last} ? (@.type() == "object" || @.type() == "array")') then
    raise exception using errcode = 'IN400',
      message = 'the signal: the payload is nested more than 100 levels deep, the limit is 100';
  end if;
  select coalesce(o.state, 'unfinished') into known
    from intendant.intent i left join intendant.outcome o on o.intent_id = i.id where i.id = signal.intent_id;
  if not found then
    raise exception using errcode = 'IN404', message = format('there is no intent %s', signal.intent_id);
  end if;
  if signal.key is not null then
    select s.id into new_id from intendant.signal s
     where s.intent_id = signal.intent_id and s.name = signal.name and s.key = signal.key;
    if found then
      return new_id;
    end if;
  end if;
  if known <> 'unfinished' then
    raise exception using errcode = 'IN409', message = format(
      'signalling intent %s: it is %s; only an unfinished intent takes signals', signal.intent_id, known);
  end if;
  insert into intendant.signal (id, intent_id, name, key, payload, sent_at, sent_by)
  values (intendant.ordered_id(clock_timestamp()), signal.intent_id, signal.name, signal.key, body, clock_timestamp(),
          signal.sent_by)
  on conflict (intent_id, name, key) where key is not null do nothing
  returning id into new_id;
  if new_id is null then
    -- Sent at the same time by somebody else; where this transaction cannot see that one, it knows no id.
    select s.id into new_id from intendant.signal s
     where s.intent_id = signal.intent_id and s.name = signal.name and s.key = signal.key;
    return new_id;
  end if;
  perform pg_notify('intendant', '');
  return new_id;
end $$;
