-- Claim and tick, by the session that drives these intents: messages go to the steps that wait for them, the oldest to
-- who asked first; a step that is done takes none. Returns whose they are. One that comes too late is nobody's. Indexes signal_of_intent, awaited_signal.
-- 1 intents.
with free as (
  select s.intent_id, s.name, s.id, row_number() over (partition by s.intent_id, s.name order by s.id) as nth
    from intendant.signal s
   where s.intent_id = any ($1::uuid[]) and s.refused is null
     and not exists (select from intendant.awaited a where a.signal_id = s.id)
), waits as (
  select a.intent_id, a.step, a.generation, a.name,
         row_number() over (partition by a.intent_id, a.name order by a.asked_at, a.step, a.generation) as nth
    from intendant.awaited a
   where a.intent_id = any ($1::uuid[]) and a.sort = 'signal' and a.signal_id is null
     and not exists (
         select from intendant.step s where s.intent_id = a.intent_id and s.name = a.step and s.generation = a.generation
            and s.state in ('succeeded', 'skipped', 'undone'))
     and (a.due_at is null or a.due_at > now())
)
update intendant.awaited a set signal_id = f.id
  from waits w join free f on f.intent_id = w.intent_id and f.name = w.name and f.nth = w.nth
 where a.intent_id = w.intent_id and a.step = w.step and a.generation = w.generation and a.name = w.name
returning a.intent_id
