-- Tell: what there is to tell, and was not told of late. Walks the table, which is small (`notice_purge`).
-- 1 how often each is told (microseconds), 2 how many, 3 now.
select topic, kind, intent_kind, step, queue, worker, newest_id, text, count, since, last_at
  from intendant_notice
 where count > 0 and (told_at is null or told_at <= ?3 - ?1)
 order by topic limit ?2
