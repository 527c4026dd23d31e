-- Claim, and tick of intents in hand: what their steps wait for by names, and what has come. Primary keys. 1 intents.
select a.intent_id, a.step, a.generation::bigint, a.name, a.sort,
       (extract(epoch from a.due_at - now()) * 1000000)::bigint, s.payload
  from intendant.awaited a left join intendant.signal s on s.id = a.signal_id
 where a.intent_id = any ($1::uuid[])
