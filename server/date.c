/* date.c - HTTP dates (RFC 9110, 5.6.7): IMF-fixdate out, all three forms in. Contract in response.h.
 * SPDX-License-Identifier: MIT
 * Own arithmetic instead of gmtime and strptime: no locale, no lock, and no date that is not written exactly as the RFC says. Thread: any. */
#include <errno.h>
#include <stdint.h>

#include "response.h"

static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char *const long_days[7] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/* Days between 1970-01-01 and a date of the Gregorian calendar. Years begin in March here, so that the leap day comes last; an era is 400 years, 146097 days. */
static int64_t
days_of(int64_t year, unsigned month, unsigned day)
{
        int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400;
        unsigned in_era = (unsigned)(y - era * 400), in_year = (153 * (month + (month > 2 ? -3u : 9u)) + 2) / 5 + day - 1;

        return era * 146097 + (int64_t)(in_era * 365 + in_era / 4 - in_era / 100 + in_year) - 719468;
}

static void
date_of(int64_t day_count, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
        int64_t z = day_count + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
        unsigned in_era = (unsigned)(z - era * 146097), year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
        unsigned in_year = in_era - (365 * year + year / 4 - year / 100), m = (5 * in_year + 2) / 153;

        *ret_day = in_year - (153 * m + 2) / 5 + 1;
        *ret_month = m < 10 ? m + 3 : m - 9;
        *ret_year = (int64_t)year + era * 400 + (*ret_month <= 2);
}

static void
put2(char *to, unsigned n)
{
        to[0] = (char)('0' + n / 10);
        to[1] = (char)('0' + n % 10);
}

void
http_date_format(time_t t, char out[30])
{
        int64_t seconds = t, day, year;
        unsigned in_day, month, mday;

        if (seconds < -62167219200 || seconds > 253402300799) /* years 0 to 9999: four digits */
                seconds = 0;
        day = (seconds >= 0 ? seconds : seconds - 86399) / 86400;
        in_day = (unsigned)(seconds - day * 86400);
        date_of(day, &year, &month, &mday);
        memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", 30);
        memcpy(out, days[((day % 7) + 11) % 7], 3); /* day 0 was a Thursday */
        put2(out + 5, mday);
        memcpy(out + 8, months[month - 1], 3);
        put2(out + 12, (unsigned)year / 100);
        put2(out + 14, (unsigned)year % 100);
        put2(out + 17, in_day / 3600);
        put2(out + 20, in_day / 60 % 60);
        put2(out + 23, in_day % 60);
}

void
response_date_update(struct response_date *d, time_t now)
{
        if (d->second == now && d->line[0] != '\0')
                return;
        d->second = now;
        memcpy(d->line, "Date: ", 6);
        http_date_format(now, d->line + 6);
        memcpy(d->line + 35, "\r\n", 3);
}

/* Walks a text along a pattern: D a digit, _ a digit or a blank (asctime's day), x anything, everything else itself. Fields are then read at fixed places. */
static bool
fits(const char *p, const char *shape)
{
        for (; *shape != '\0'; p++, shape++) {
                bool digit = *p >= '0' && *p <= '9';

                if (*shape == 'D' ? !digit : *shape == '_' ? !digit && *p != ' ' : *shape != 'x' && *shape != *p)
                        return false;
        }
        return true;
}

static unsigned
get2(const char *p)
{
        return (p[0] == ' ' ? 0 : (unsigned)(p[0] - '0') * 10) + (unsigned)(p[1] - '0');
}

static int
month_of(const char *p)
{
        for (int i = 0; i < 12; i++)
                if (memcmp(p, months[i], 3) == 0)
                        return i + 1;
        return 0;
}

static bool
is_day(const char *p)
{
        for (int i = 0; i < 7; i++)
                if (memcmp(p, days[i], 3) == 0)
                        return true;
        return false;
}

static int
date_make(int64_t year, int month, unsigned day, const char *clock, time_t *ret)
{
        static const uint8_t lengths[12] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        unsigned h = get2(clock), m = get2(clock + 3), s = get2(clock + 6);
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        if (month == 0 || day == 0 || day > lengths[month - 1] || (month == 2 && day == 29 && !leap) || h > 23 || m > 59 || s > 60 /* a leap second */)
                return -EINVAL;
        *ret = (time_t)(days_of(year, (unsigned)month, day) * 86400 + h * 3600 + m * 60 + s);
        return 0;
}

/* RFC 9110, 5.6.7: a two-digit year that seems to be more than 50 years ahead is the last one before with these digits. */
static int64_t
year_of_two(unsigned yy)
{
        int64_t now_year;
        unsigned month, day;

        date_of(time(NULL) / 86400, &now_year, &month, &day);
        int64_t year = now_year / 100 * 100 + yy;

        return year > now_year + 50 ? year - 100 : year;
}

int
http_date_parse(struct span text, time_t *ret)
{
        const char *p = text.ptr;

        if (text.len == 29 && fits(p, "xxx, DD xxx DDDD DD:DD:DD GMT")) /* Sun, 06 Nov 1994 08:49:37 GMT */
                return is_day(p) ? date_make(get2(p + 12) * 100 + get2(p + 14), month_of(p + 8), get2(p + 5), p + 17, ret) : -EINVAL;
        if (text.len == 24 && fits(p, "xxx xxx _D DD:DD:DD DDDD")) /* asctime: Sun Nov  6 08:49:37 1994 */
                return is_day(p) ? date_make(get2(p + 20) * 100 + get2(p + 22), month_of(p + 4), get2(p + 8), p + 11, ret) : -EINVAL;
        for (int i = 0; i < 7; i++) { /* RFC 850: Sunday, 06-Nov-94 08:49:37 GMT */
                size_t len = strlen(long_days[i]);

                if (text.len == len + 24 && memcmp(p, long_days[i], len) == 0 && fits(p + len, ", DD-xxx-DD DD:DD:DD GMT")) {
                        p += len;
                        return date_make(year_of_two(get2(p + 9)), month_of(p + 5), get2(p + 2), p + 12, ret);
                }
        }
        return -EINVAL;
}
