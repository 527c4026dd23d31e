-- What a step waits for besides a retry.

-- Children: of a step that has more children to ask for, how many of those under way may be unfinished when it goes on.
alter table intendant_step add column spare integer;

-- Sleeps and signals: what a step waits for by a name of its own. What the name meant the first time holds: when it is
-- due is fixed then, and a message that was taken for it stays its own. `waits`: which of them the step waits for just
-- now, an array of names.
alter table intendant_step add column waits text;

create table intendant_awaited (
  intent_id text not null,
  step text not null,
  generation integer not null,
  name text not null check (length(name) between 1 and 200),
  sort text not null check (sort in ('sleep', 'signal')),
  asked_at integer not null,
  -- Of a signal: until when it is waited for, if not for ever.
  due_at integer,
  signal_id text,
  primary key (intent_id, step, generation, name),
  check (sort = 'signal' or (due_at is not null and signal_id is null))
) strict, without rowid;
-- A message is one wait's.
create unique index intendant_awaited_signal on intendant_awaited (signal_id) where signal_id is not null;

-- Messages from outside. A sender only adds a row; a tick counts the message in the wait row of its intent, once, and with
-- that wakes who waits for it.
create table intendant_signal (
  id text primary key,
  intent_id text not null,
  name text not null check (length(name) between 1 and 200),
  key text check (length(key) between 1 and 200),
  payload text not null,
  sent_at integer not null,
  sent_by text,
  counted integer not null default 0,
  -- Why the step that took it could not read it: it is set aside then.
  refused text
) strict, without rowid;
create index intendant_signal_of_intent on intendant_signal (intent_id, id);
create unique index intendant_signal_key on intendant_signal (intent_id, name, key) where key is not null;
create index intendant_signal_new on intendant_signal (id) where counted = 0;

create view intendant_signals as
  select s.id, s.intent_id, s.name, s.key, s.payload,
         strftime('%Y-%m-%dT%H:%M:%fZ', s.sent_at / 1e6, 'unixepoch') as sent_at, s.sent_by, a.step as taken_by, s.refused
    from intendant_signal s left join intendant_awaited a on a.signal_id = s.id;

-- A message from plain SQL, in any language: `insert into intendant_send_signal (intent_id, name, payload, key, sent_by)`,
-- described in docs/SQL.md; written as requests are (0005). IN404: there is no such intent; IN409: it has finished.
create view intendant_send_signal (intent_id, name, payload, key, sent_by) as select null, null, null, null, null where 0;

create trigger intendant_send_signal_write instead of insert on intendant_send_signal begin
  select case n.what
         when 'signal' then raise(abort, 'IN400: the signal is no name: expected text of 1 to 200 characters, none of them a control character')
         when 'key' then raise(abort, 'IN400: the key is no name: expected text of 1 to 200 characters, none of them a control character')
         else raise(abort, 'IN400: the sender is no name: expected text of 1 to 200 characters, none of them a control character')
         end
    from (select 'signal' as what, coalesce(new.name, '') as name union all select 'key', new.key
          union all select 'sender', new.sent_by) n
   where typeof(n.name) not in ('null', 'text', 'integer')
      or length(n.name) not between 1 and 200
      or instr(n.name, char(0))
      or n.name glob '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*';
  -- JSON: first that it is any, since its functions fail on what is not.
  select raise(abort, 'IN400: the payload is not JSON: expected text such as {"granted": true}')
   where new.payload is not null
     and (typeof(new.payload) <> 'text' or instr(new.payload, char(0)) or not json_valid(new.payload));
  select raise(abort, 'IN400: the payload is larger than 1048576 bytes; keep big things elsewhere and pass their name')
   where length(cast(json(new.payload) as blob)) > 1048576;
  -- An escaped backslash begins no escape: those are taken out first.
  select raise(abort, 'IN400: a string has the character U+0000, which a database cannot keep')
   where instr(replace(coalesce(new.payload, ''), '\\', ''), '\u0000');
  -- The text is cut where an escape of half a surrogate pair may begin. What stands behind a first half is its three
  -- digits and nothing else, and then a second half.
  select raise(abort, 'IN400: a string has half of a surrogate pair, which is no character')
    from (select part, coalesce(lag(part) over (order by nth), '') as before,
                 coalesce(lead(part) over (order by nth), '') as after
            from (select e.key as nth, case when e.key > 0 then e.value else '' end as part
                    from (select replace(lower(coalesce(new.payload, '')), '\\', '.')
                                 as text) t,
                         json_each(case when instr(t.text, '\ud') then '["' || replace(replace(replace(replace(replace(
                           replace(replace(t.text, '\ud', char(1)), '\', '.'), '"', '.'), char(9), '.'), char(10), '.'),
                           char(13), '.'), char(1), '","') || '"]' else '[]' end) e))
   where (part glob '[89ab]*' and (length(part) <> 3 or after not glob '[c-f]*'))
      or (part glob '[c-f]*' and (before not glob '[89ab]*' or length(before) <> 3));
  select raise(abort, 'IN400: the payload is nested more than 100 levels deep')
    from (with recursive nest (depth, value) as (
            select 1, new.payload where json_type(new.payload) in ('object', 'array')
            union all
            select n.depth + 1, e.value from nest n, json_each(n.value) e
             where e.type in ('object', 'array') and n.depth <= 100
          )
          select depth from nest)
   where depth > 100;
  -- A name that an object has twice is read differently by different parsers.
  select raise(abort, 'IN400: an object in the payload has one name twice')
    from json_tree(coalesce(new.payload, '{}')) t where typeof(t.key) = 'text' group by t.parent, t.key having count(*) > 1;

  select raise(abort, 'IN404: there is no such intent')
   where not exists (select 1 from intendant_intent i where i.id = new.intent_id);
  select raise(abort, 'IN409: the intent has finished; only an unfinished intent takes signals')
   where exists (select 1 from intendant_outcome o where o.intent_id = new.intent_id)
     and not exists (select 1 from intendant_signal s
                      where s.intent_id = new.intent_id and s.name = cast(new.name as text)
                        and s.key = cast(new.key as text));
  -- The id is a UUIDv7, as a request's; within a millisecond it counts on from the last one.
  insert into intendant_signal (id, intent_id, name, key, payload, sent_at, sent_by)
  select substr(m.hex, 1, 8) || '-' || substr(m.hex, 9) || '-7'
         || coalesce((select printf('%03x', x.count + 1)
                        from (select (instr('0123456789abcdef', substr(l.id, 16, 1)) - 1) * 256
                                     + (instr('0123456789abcdef', substr(l.id, 17, 1)) - 1) * 16
                                     + instr('0123456789abcdef', substr(l.id, 18, 1)) - 1 as count
                                from (select max(id) as id from intendant_signal) l
                               where substr(l.id, 1, 13) = substr(m.hex, 1, 8) || '-' || substr(m.hex, 9)) x
                       where x.count < 4095),
                     printf('%03x', random() & 1023))
         || '-' || substr('89ab', 1 + (random() & 3), 1) || substr(lower(hex(randomblob(2))), 2)
         || '-' || lower(hex(randomblob(6))),
         new.intent_id, cast(new.name as text), cast(new.key as text), coalesce(json(new.payload), 'null'), m.ms * 1000,
         cast(new.sent_by as text)
    from (select t.ms, printf('%012x', t.ms) as hex
            from (select cast(round((julianday('now') - 2440587.5) * 86400000) as integer) as ms) t) m
   where true
  on conflict (intent_id, name, key) where key is not null do nothing;
end;
