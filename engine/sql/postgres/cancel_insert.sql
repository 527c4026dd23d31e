-- Cancel: asks these to stop; whoever holds them or claims them carries it out. Primary key. 1 actor; 2–3 intent, reason.
insert into intendant.cancel (intent_id, actor, reason, at)
select n.intent_id, $1::text, n.reason, clock_timestamp() from unnest($2::uuid[], $3::text[]) as n (intent_id, reason)
on conflict (intent_id) do nothing
