-- Subscriptions: events of all intents after one of them and until a time, the oldest first, by the index event_at; with their intents'
-- kinds and accounts. 1 microseconds, 2 intent and 3 number to go on after, 4 microseconds until when, 5 how many.
select e.seq::bigint, e.at, e.actor, e.verb, e.reason, e.detail, e.intent_id, i.kind, i.account
  from (
    select * from intendant.event
     where (at, intent_id, seq) > (timestamptz 'epoch' + $1::bigint * interval '1 microsecond', $2::uuid, $3::bigint)
       and at <= timestamptz 'epoch' + $4::bigint * interval '1 microsecond'
     order by at, intent_id, seq limit $5::bigint
  ) e left join intendant.intent i on i.id = e.intent_id
 order by e.at, e.intent_id, e.seq
