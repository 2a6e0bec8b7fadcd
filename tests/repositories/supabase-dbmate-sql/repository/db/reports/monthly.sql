select date_trunc('month', at), count(*) from audit group by 1;
