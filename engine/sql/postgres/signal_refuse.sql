-- Tick: messages that are not what their steps expect are set aside; the steps wait on. Primary keys.
-- 1–5 intent, step, generation, name, why.
with refused as (
  update intendant.awaited a set signal_id = null
    from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[])
         as n (intent_id, step, generation, name, error)
    join intendant.awaited b
      on b.intent_id = n.intent_id and b.step = n.step and b.generation = n.generation and b.name = n.name
   where a.intent_id = b.intent_id and a.step = b.step and a.generation = b.generation and a.name = b.name
     and b.signal_id is not null
  returning b.signal_id, n.error
)
update intendant.signal s set refused = r.error from refused r where s.id = r.signal_id
