-- Claim and tick, by the session that drives these intents: messages go to the steps that wait for them, the oldest to
-- who asked first; a step that is done takes none. Returns whose they are. One that comes too late is nobody's. Indexes intendant_signal_of_intent,
-- intendant_awaited_signal. 1 intents, 2 now.
with free as (
  select s.intent_id, s.name, s.id, row_number() over (partition by s.intent_id, s.name order by s.id) as nth
    from intendant_signal s
   where s.intent_id in (select n.value from jsonb_each(?1) n) and s.refused is null
     and not exists (select 1 from intendant_awaited a where a.signal_id = s.id)
), waits as (
  select a.intent_id, a.step, a.generation, a.name,
         row_number() over (partition by a.intent_id, a.name order by a.asked_at, a.step, a.generation) as nth
    from intendant_awaited a
   where a.intent_id in (select n.value from jsonb_each(?1) n) and a.sort = 'signal' and a.signal_id is null
     and not exists (
         select 1 from intendant_step s where s.intent_id = a.intent_id and s.name = a.step and s.generation = a.generation
            and s.state in ('succeeded', 'skipped', 'undone'))
     and (a.due_at is null or a.due_at > ?2)
)
update intendant_awaited as a set signal_id = f.id
  from waits w join free f on f.intent_id = w.intent_id and f.name = w.name and f.nth = w.nth
 where a.intent_id = w.intent_id and a.step = w.step and a.generation = w.generation and a.name = w.name
returning intent_id
