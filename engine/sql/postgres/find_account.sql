-- Find, newest first: of an account. Index intent_by_account, backwards: nothing else has this order.
-- 1 limit, 2 before this id, 3 down to this id, 4 kind, 5 state, 6 requester, 7–8 requested since, until, 9 finished
-- since, 10 text in the error, 11–12 label, 13 account, 14 resource, 15 correlation id.
select i.id
  from (select i.id, i.kind, i.account, i.requested_by, i.correlation_id, i.requested_at
          from intendant.intent i
         where i.account >= $13::text and (i.account, i.id) < ($13::text, $2::uuid)
           and (i.account, i.id) >= ($13::text, $3::uuid)
         order by i.account desc, i.id desc) i
  left join lateral (
    select o.state, o.finished_at, o.error from intendant.outcome o where o.intent_id = i.id offset 0
  ) o on true
 where ($4::text is null or i.kind = $4::text)
   and ($5::text is null or coalesce(o.state, 'unfinished') = $5::text)
   and ($6::text is null or i.requested_by = $6::text)
   and ($15::text is null or i.correlation_id = $15::text)
   and ($7::bigint is null or i.requested_at >= timestamptz 'epoch' + $7::bigint * interval '1 microsecond')
   and ($8::bigint is null or i.requested_at < timestamptz 'epoch' + $8::bigint * interval '1 microsecond')
   and ($9::bigint is null or o.finished_at >= timestamptz 'epoch' + $9::bigint * interval '1 microsecond')
   and ($10::text is null or position(lower($10::text collate "C") in lower(o.error collate "C")) > 0)
   and ($11::text is null or exists (select from intendant.label l
                                      where l.intent_id = i.id and l.name = $11::text and l.value = $12::text))
   and ($14::text is null or exists (select from intendant.resource r
                                      where r.intent_id = i.id and r.resource = $14::text))
 order by i.account desc, i.id desc limit $1::bigint
