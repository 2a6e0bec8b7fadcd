--
-- PostgreSQL database dump
--

SET statement_timeout = 0;

CREATE TABLE public.books (
    id bigint NOT NULL,
    title text NOT NULL
);
