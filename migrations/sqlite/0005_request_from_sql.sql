-- Requests from plain SQL, in any language: `insert into intendant_request (…)`, described in docs/SQL.md.
--
-- It writes the rows that the library writes (`request_insert`) and refuses what the library refuses (limits.rs,
-- intent.rs, payload.rs). A trigger is code that SQLite itself runs, whichever program asks; so this is written for the
-- SQLite of Debian 12 (3.40): newer functions, and messages that are put together, would make the whole schema unreadable
-- to it. Messages begin with IN400, the request cannot be kept as it is; or IN409, its key was used for another request.

create table intendant_kind (
  kind text primary key check (length(kind) between 1 and 200),
  queue text not null check (length(queue) between 1 and 200),
  release_on_failure integer not null
) strict, without rowid;
insert into intendant_kind (kind, queue, release_on_failure)
select kind, max(queue), 0 from intendant_session_kind group by kind;

-- The one row says which intent the last request was answered with: in the transaction of the request, the caller's own.
create table intendant_requested (
  one integer primary key check (one = 1),
  id text not null,
  -- 0: it was there already, by its key.
  is_new integer not null
) strict;

create view intendant_request (kind, account, resources, input, key, run_at, priority, requested_by, correlation_id,
                               queue) as
  select null, null, null, null, null, null, null, null, null, null where 0;

-- What has passed the checks: all values there and of their types.
create view intendant_request_checked (id, asked_at, kind, queue, account, resources, input, key, start_at, priority,
                                       requested_by, correlation_id) as
  select null, null, null, null, null, null, null, null, null, null, null, null where 0;

create trigger intendant_request_check instead of insert on intendant_request begin
  select case n.what
         when 'kind' then raise(abort, 'IN400: the kind is no name: expected text of 1 to 200 characters, none of them a control character')
         when 'queue' then raise(abort, 'IN400: the queue is no name: expected text of 1 to 200 characters, none of them a control character')
         when 'account' then raise(abort, 'IN400: the account is no name: expected text of 1 to 200 characters, none of them a control character')
         when 'key' then raise(abort, 'IN400: the key is no name: expected text of 1 to 200 characters, none of them a control character')
         when 'requested_by' then raise(abort, 'IN400: the requester is no name: expected text of 1 to 200 characters, none of them a control character')
         else raise(abort, 'IN400: the correlation id is no name: expected text of 1 to 200 characters, none of them a control character')
         end
    from (select 'kind' as what, coalesce(new.kind, '') as name union all select 'queue', new.queue
          union all select 'account', new.account union all select 'key', new.key
          union all select 'requested_by', new.requested_by union all select 'correlation_id', new.correlation_id) n
   where typeof(n.name) not in ('null', 'text', 'integer')
      or length(n.name) not between 1 and 200
      or instr(n.name, char(0))
      or n.name glob '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*';

  select raise(abort, 'IN400: the priority is outside its limits: expected a whole number from -1000 to 1000')
   where typeof(new.priority) not in ('null', 'integer') or new.priority not between -1000 and 1000;
  select raise(abort, 'IN400: the start time is no time: expected text such as 2026-01-31T12:00:00Z')
   where typeof(new.run_at) not in ('null', 'text')
      or new.run_at not glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
      or (new.run_at is not null and julianday(new.run_at) is null);
  select raise(abort, 'IN400: the start time is outside its limits: expected ten years from now at the latest')
   where julianday(new.run_at) > julianday('now') + 3650;

  -- JSON: first that it is any, since its functions fail on what is not.
  select case n.what
         when 'input' then raise(abort, 'IN400: the input is not JSON: expected text such as {"size": 3}')
         else raise(abort, 'IN400: the resources are not JSON: expected text such as ["exclusive:server:42"]')
         end
    from (select 'input' as what, new.input as text union all select 'resources', new.resources) n
   where n.text is not null and (typeof(n.text) <> 'text' or instr(n.text, char(0)) or not json_valid(n.text));
  select raise(abort, 'IN400: the payload is larger than 1048576 bytes; keep big things elsewhere and pass their name')
   where length(cast(json(new.input) as blob)) > 1048576;
  -- An escaped backslash begins no escape: those are taken out first.
  select raise(abort, 'IN400: a string has the character U+0000, which a database cannot keep')
   where instr(replace(coalesce(new.input, '') || coalesce(new.resources, ''), '\\', ''), '\u0000');
  -- The text is cut where an escape of half a surrogate pair may begin. What stands behind a first half is its three
  -- digits and nothing else, and then a second half.
  select raise(abort, 'IN400: a string has half of a surrogate pair, which is no character')
    from (select part, coalesce(lag(part) over (order by nth), '') as before,
                 coalesce(lead(part) over (order by nth), '') as after
            from (select e.key as nth, case when e.key > 0 then e.value else '' end as part
                    from (select replace(lower(coalesce(new.input, '') || ' ' || coalesce(new.resources, '')), '\\', '.')
                                 as text) t,
                         json_each(case when instr(t.text, '\ud') then '["' || replace(replace(replace(replace(replace(
                           replace(replace(t.text, '\ud', char(1)), '\', '.'), '"', '.'), char(9), '.'), char(10), '.'),
                           char(13), '.'), char(1), '","') || '"]' else '[]' end) e))
   where (part glob '[89ab]*' and (length(part) <> 3 or after not glob '[c-f]*'))
      or (part glob '[c-f]*' and (before not glob '[89ab]*' or length(before) <> 3));
  select raise(abort, 'IN400: the payload is nested more than 100 levels deep')
    from (with recursive nest (depth, value) as (
            select 1, new.input where json_type(new.input) in ('object', 'array')
            union all
            select n.depth + 1, e.value from nest n, json_each(n.value) e
             where e.type in ('object', 'array') and n.depth <= 100
          )
          select depth from nest)
   where depth > 100;
  -- A name that an object has twice is read differently by different parsers.
  select raise(abort, 'IN400: an object in the input has one name twice')
    from json_tree(coalesce(new.input, '{}')) t where typeof(t.key) = 'text' group by t.parent, t.key having count(*) > 1;

  select raise(abort, 'IN400: the resources are not a JSON array of texts: expected text such as ["exclusive:server:42"]')
   where json_type(new.resources) <> 'array'
      or exists (select 1 from json_each(new.resources) e where e.type <> 'text');
  select raise(abort, 'IN400: a resource does not say how it is used: expected touched:type:id, shared:type:id or exclusive:type:id')
    from json_each(coalesce(new.resources, '[]')) e
   where substr(e.value, 1, instr(e.value, ':') - 1) not in ('touched', 'shared', 'exclusive');
  select raise(abort, 'IN400: a resource is no name: expected type:id of at most 400 characters, none of them a control character')
    from (select substr(e.value, instr(e.value, ':') + 1) as name from json_each(coalesce(new.resources, '[]')) e)
   where instr(name, ':') not between 2 and length(name) - 1
      or length(name) > 400
      or name glob '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*';
  select raise(abort, 'IN400: there are more than 100 resources')
   where (select count(distinct substr(e.value, instr(e.value, ':') + 1))
            from json_each(coalesce(new.resources, '[]')) e) > 100;

  -- The id is a UUIDv7. SQLite's clock has milliseconds only: within one, the twelve bits behind them count on from the
  -- last intent's, so that ids sort by the order of their requests.
  insert into intendant_request_checked (id, asked_at, kind, queue, account, resources, input, key, start_at, priority,
                                         requested_by, correlation_id)
  select substr(m.hex, 1, 8) || '-' || substr(m.hex, 9) || '-7'
         || coalesce((select printf('%03x', x.count + 1)
                        from (select (instr('0123456789abcdef', substr(l.id, 16, 1)) - 1) * 256
                                     + (instr('0123456789abcdef', substr(l.id, 17, 1)) - 1) * 16
                                     + instr('0123456789abcdef', substr(l.id, 18, 1)) - 1 as count
                                from (select max(id) as id from intendant_intent) l
                               where substr(l.id, 1, 13) = substr(m.hex, 1, 8) || '-' || substr(m.hex, 9)) x
                       where x.count < 4095),
                     printf('%03x', random() & 1023))
         || '-' || substr('89ab', 1 + (random() & 3), 1) || substr(lower(hex(randomblob(2))), 2)
         || '-' || lower(hex(randomblob(6))),
         m.ms * 1000, cast(new.kind as text), coalesce(cast(new.queue as text), k.queue, 'default'),
         cast(new.account as text), coalesce(new.resources, '[]'), coalesce(json(new.input), '{}'),
         cast(new.key as text), cast(round((julianday(new.run_at) - 2440587.5) * 86400000) as integer) * 1000,
         coalesce(new.priority, 0), cast(new.requested_by as text), cast(new.correlation_id as text)
    from (select t.ms, printf('%012x', t.ms) as hex
            from (select cast(round((julianday('now') - 2440587.5) * 86400000) as integer) as ms) t) m
    left join intendant_kind k on k.kind = new.kind;
end;

create trigger intendant_request_write instead of insert on intendant_request_checked begin
  delete from intendant_key
   where account = coalesce(new.account, '') and key = new.key and expires_at <= new.asked_at;
  -- The other body: compared value by value, as the order of names and the spelling of numbers and strings mean nothing.
  -- A whole number that SQLite only has as a fraction is like no other.
  select raise(abort, 'IN409: the key was used for another request; use a new key for a new request')
    from intendant_key k left join intendant_intent i on i.id = k.intent_id
   where k.account = coalesce(new.account, '') and k.key = new.key
     and (i.id is null or i.kind <> new.kind
          or i.input <> new.input and exists (
               with recursive body (whose, path, type, atom, value) as (
                 select b.whose, '', e.type, e.atom, e.value
                   from (select 0 as whose, new.input as text
                         union all
                         select 1, i.input from intendant_key k join intendant_intent i on i.id = k.intent_id
                          where k.account = coalesce(new.account, '') and k.key = new.key) b,
                        json_each('[' || b.text || ']') e
                 union all
                 select b.whose, b.path || '/' || json_quote(e.key), e.type, e.atom, e.value
                   from body b, json_each(b.value) e where b.type in ('object', 'array')
               )
               select path, case when type in ('integer', 'real') then 'number' else type end, atom
                 from body group by 1, 2, 3 having count(*) <> 2
               union all
               select path, type, atom from body where type = 'integer' and typeof(atom) = 'real'));

  delete from intendant_requested;
  insert into intendant_requested (one, id, is_new)
  select 1, coalesce(k.intent_id, new.id), k.intent_id is null
    from (select 1) left join intendant_key k on k.account = coalesce(new.account, '') and k.key = new.key;
  -- No hash of the body: the library, too, compares with the intent's row.
  insert into intendant_key (account, key, intent_id, body_hash, expires_at)
  select coalesce(new.account, ''), new.key, new.id, x'', new.asked_at + 30 * 86400 * 1000000
    from intendant_requested where is_new and new.key is not null;

  insert into intendant_intent (id, kind, queue, account, input, position, priority, locks, release_on_failure,
                                requested_at, run_at, requested_by, root_id, correlation_id)
  select r.id, new.kind, new.queue, new.account, new.input, new.asked_at - new.priority * 60000000, new.priority,
         exists (select 1 from json_each(new.resources) e where e.value not glob 'touched:*'),
         coalesce(k.release_on_failure, 0), new.asked_at, new.start_at, new.requested_by, r.id, new.correlation_id
    from intendant_requested r left join intendant_kind k on k.kind = new.kind
   where r.is_new;
  -- One that is named twice keeps the stronger use.
  insert into intendant_resource (intent_id, resource, mode)
  select r.id, substr(e.value, instr(e.value, ':') + 1),
         case max(instr('touched shared exclusive', substr(e.value, 1, instr(e.value, ':') - 1)))
         when 1 then 'touched' when 9 then 'shared' else 'exclusive' end
    from intendant_requested r, json_each(new.resources) e where r.is_new group by 1, 2;
  insert into intendant_parked (intent_id, reason, due_at)
  select i.id, 'start time', i.run_at
    from intendant_requested r join intendant_intent i on i.id = r.id
   where r.is_new and i.run_at > i.requested_at;
  insert into intendant_ready (queue, kind, position, intent_id, started, locks)
  select i.queue, i.kind, i.position, i.id, 0, i.locks
    from intendant_requested r join intendant_intent i on i.id = r.id
   where r.is_new and coalesce(i.run_at, i.requested_at) <= i.requested_at;
end;
