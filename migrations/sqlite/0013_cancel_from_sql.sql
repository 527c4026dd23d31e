-- A cancel from plain SQL, in any language: `insert into intendant_ask_cancel (intent_id, actor, reason)`, described in
-- docs/SQL.md.
--
-- Who is stopped, and how, has one implementation (engine/src/cancel.rs). So this only says what is wanted; when it is
-- committed, a worker carries it out.
create table intendant_cancel_request (
  id text primary key,
  intent_id text not null,
  actor text not null check (length(actor) between 1 and 200),
  reason text,
  asked_at integer not null
) strict, without rowid;
create index intendant_cancel_request_of_intent on intendant_cancel_request (intent_id, id);

create view intendant_ask_cancel (intent_id, actor, reason) as select null, null, null where 0;

-- Written as requests are (0005). What is refused is judged by the rows of the moment; the last word is the worker's, and an
-- event says so. One that has been cancelled before is left as it is. IN404: there is no such intent; IN409: it has finished,
-- or there is no way back.
create trigger intendant_ask_cancel_write instead of insert on intendant_ask_cancel begin
  select raise(abort, 'IN400: the actor is no name: expected text of 1 to 200 characters, none of them a control character')
    from (select coalesce(new.actor, '') as name) n
   where typeof(n.name) not in ('text', 'integer')
      or length(n.name) not between 1 and 200
      or instr(n.name, char(0))
      or n.name glob '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*';
  select raise(abort, 'IN400: the reason is no text, or has the character U+0000, which a database cannot keep')
   where typeof(new.reason) not in ('null', 'text') or instr(new.reason, char(0));
  select raise(abort, 'IN404: there is no such intent')
   where not exists (select 1 from intendant_intent i where i.id = new.intent_id);
  select raise(abort, 'IN409: the intent has finished; only an unfinished intent can be cancelled')
   where exists (select 1 from intendant_outcome o where o.intent_id = new.intent_id and o.state <> 'cancelled');
  select raise(abort, 'IN409: a step of it, or of a descendant, has started after which there is no way back; wait for its end')
   where not exists (select 1 from intendant_cancel c where c.intent_id = new.intent_id and c.goal is null)
     and not exists (select 1 from intendant_outcome o where o.intent_id = new.intent_id)
     and exists (
       with recursive family (id) as (
         select new.intent_id
         union all
         select i.id from family f join intendant_intent i on i.parent_id = f.id
          where not exists (select 1 from intendant_outcome o where o.intent_id = i.id)
       )
       select 1 from family f join intendant_step s on s.intent_id = f.id where s.point_of_no_return);
  -- The id is a UUIDv7, as a request's; within a millisecond it counts on from the last one.
  insert into intendant_cancel_request (id, intent_id, actor, reason, asked_at)
  select substr(m.hex, 1, 8) || '-' || substr(m.hex, 9) || '-7'
         || coalesce((select printf('%03x', x.count + 1)
                        from (select (instr('0123456789abcdef', substr(l.id, 16, 1)) - 1) * 256
                                     + (instr('0123456789abcdef', substr(l.id, 17, 1)) - 1) * 16
                                     + instr('0123456789abcdef', substr(l.id, 18, 1)) - 1 as count
                                from (select max(id) as id from intendant_cancel_request) l
                               where substr(l.id, 1, 13) = substr(m.hex, 1, 8) || '-' || substr(m.hex, 9)) x
                       where x.count < 4095),
                     printf('%03x', random() & 1023))
         || '-' || substr('89ab', 1 + (random() & 3), 1) || substr(lower(hex(randomblob(2))), 2)
         || '-' || lower(hex(randomblob(6))),
         new.intent_id, cast(new.actor as text), new.reason, m.ms * 1000
    from (select t.ms, printf('%012x', t.ms) as hex
            from (select cast(round((julianday('now') - 2440587.5) * 86400000) as integer) as ms) t) m
   where not exists (select 1 from intendant_outcome o where o.intent_id = new.intent_id);
end;
