-- Find, newest first: with a label. Index label_history, backwards: nothing else has this order.
-- 1 limit, 2 before this id, 3 down to this id, 4 kind, 5 state, 6 requester, 7–8 requested since, until, 9 finished
-- since, 10 text in the error, 11–12 label, 13 account, 14 resource, 15 correlation id.
select i.id
  from (select d.name, d.value, d.intent_id
          from intendant.label d
         where (d.name, d.value, d.intent_id) < ($11::text, $12::text, $2::uuid)
           and (d.name, d.value, d.intent_id) >= ($11::text, $12::text, $3::uuid)
         order by d.name desc, d.value desc, d.intent_id desc) d
  cross join lateral (
    select i.id, i.kind, i.account, i.requested_by, i.correlation_id, i.requested_at
      from intendant.intent i where i.id = d.intent_id offset 0
  ) i
  left join lateral (
    select o.state, o.finished_at, o.error from intendant.outcome o where o.intent_id = d.intent_id offset 0
  ) o on true
 where ($4::text is null or i.kind = $4::text)
   and ($5::text is null or coalesce(o.state, 'unfinished') = $5::text)
   and ($6::text is null or i.requested_by = $6::text)
   and ($15::text is null or i.correlation_id = $15::text)
   and ($7::bigint is null or i.requested_at >= timestamptz 'epoch' + $7::bigint * interval '1 microsecond')
   and ($8::bigint is null or i.requested_at < timestamptz 'epoch' + $8::bigint * interval '1 microsecond')
   and ($9::bigint is null or o.finished_at >= timestamptz 'epoch' + $9::bigint * interval '1 microsecond')
   and ($10::text is null or position(lower($10::text collate "C") in lower(o.error collate "C")) > 0)
   and ($13::text is null or i.account = $13::text)
   and ($14::text is null or exists (select from intendant.resource r
                                      where r.intent_id = i.id and r.resource = $14::text))
 order by d.name desc, d.value desc, d.intent_id desc limit $1::bigint
