-- One more sort of trouble: a schedule whose ticks nobody decides.
alter table intendant.alert drop constraint alert_kind_check;
alter table intendant.alert add constraint alert_kind_check
 check (kind in ('intent deadline', 'step deadline', 'slow step', 'queue too old', 'no worker', 'worker gone', 'kind backs off',
                 'schedule overdue'));
