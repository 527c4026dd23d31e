-- Schedule: an operator removes one that no live session declares, and what people have asked of it that nobody has carried
-- out. Primary keys; locks the row. 1 name.
with gone as (
  delete from intendant.schedule s
   where s.name = $1::text and not exists (select from intendant.session_schedule d where d.schedule = s.name)
  returning s.name
), asked as (
  delete from intendant.schedule_tick t using gone where t.schedule = gone.name and t.state = 'asked'
)
select name from gone
