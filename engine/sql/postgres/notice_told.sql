-- Tell: so many of these have been told; what has come since is for the next time. Primary key. 1 worker; 2–3 topic, count.
update intendant.notice o set count = greatest(o.count - n.count, 0), told_at = clock_timestamp(), told_by = $1::text
  from unnest($2::text[], $3::bigint[]) as n (topic, count)
 where o.topic = n.topic
