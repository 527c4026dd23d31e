-- A cancel from plain SQL, in any language: `intendant.cancel(…)`, described in docs/SQL.md.
--
-- Who is stopped, and how, has one implementation (engine/src/cancel.rs), and takes locks that a caller's transaction, which
-- may stay open for an hour, must not hold. So this only says what is wanted; when it is committed, a worker carries it out.
create table intendant.cancel_request (
  id uuid primary key,
  intent_id uuid not null,
  actor text not null check (length(actor) between 1 and 200),
  reason text,
  asked_at timestamptz not null
);
create index cancel_request_of_intent on intendant.cancel_request (intent_id, id);

-- Asks an unfinished intent to stop, with all that it has asked for, within the caller's transaction. Returns `asked`, or
-- `before`, where it has been cancelled already. What is refused is judged by the rows of the moment; the last word is the
-- worker's, and an event says so. Takes no lock that a worker waits for.
create function intendant.cancel(intent_id uuid, actor text, reason text default null) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  known text;
  past record;
begin
  perform intendant.check_name('actor', cancel.actor);
  select coalesce(o.state, 'unfinished') into known
    from intendant.intent i left join intendant.outcome o on o.intent_id = i.id where i.id = cancel.intent_id;
  if not found then
    raise exception using errcode = 'IN404', message = format('there is no intent %s', cancel.intent_id);
  elsif known = 'cancelled' then
    return 'before';
  elsif known <> 'unfinished' then
    raise exception using errcode = 'IN409', message = format(
      'cancelling intent %s: it is %s; only an unfinished intent can be cancelled', cancel.intent_id, known);
  end if;
  if not exists (select from intendant.cancel c where c.intent_id = cancel.intent_id and c.goal is null) then
    with recursive family (id) as (
      select cancel.intent_id
      union all
      select i.id from family f join intendant.intent i on i.parent_id = f.id
       where not exists (select from intendant.outcome o where o.intent_id = i.id)
    )
    select s.intent_id, s.name into past
      from family f join intendant.step s on s.intent_id = f.id
     where s.point_of_no_return limit 1;
    if found then
      raise exception using errcode = 'IN409', message = format(
        'cancelling intent %s: %sstep `%s` has started, after which there is no way back; wait for its end',
        cancel.intent_id,
        case when past.intent_id <> cancel.intent_id then format('in its descendant %s, ', past.intent_id) else '' end,
        past.name);
    end if;
  end if;
  insert into intendant.cancel_request (id, intent_id, actor, reason, asked_at)
  values (intendant.ordered_id(clock_timestamp()), cancel.intent_id, cancel.actor, cancel.reason, clock_timestamp());
  perform pg_notify('intendant', '');
  return 'asked';
end $$;
