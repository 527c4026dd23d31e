-- Kinds: what is known of them, in the order of their names, each with how many live sessions know it: a walk through two small
-- tables, or one row by the primary key. 1 the kind, null for all; 2 after this one, null from the beginning; 3 how many.
select k.kind, k.queue, k.release_on_failure, k.conflicts::text, k.description, k.input_schema::text, k.deadline_us,
       (select count(distinct s.session_id) from intendant.session_kind s where s.kind = k.kind)
  from intendant.kind k
 where ($1::text is null or k.kind = $1::text) and ($2::text is null or k.kind > $2::text)
 order by k.kind limit $3::bigint
